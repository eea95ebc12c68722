//! A sink that writes each notice as a mail, to every address by itself: one that is refused keeps none of the others from being
//! told, and who has had it gets it once.

mod templates;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::response::Response;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::answer::{Answer, SinkError, Taken, chain, with_words};
use super::body::NoticeBody;
use crate::config::{MailConfig, MailSecurity, read_secret};
use templates::Text;
pub(crate) use templates::check_templates;

/// People behind one server.
pub(super) struct Mail {
    config: MailConfig,
    from: Mailbox,
    to: Vec<Mailbox>,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// Who has had the notice, and who will not take it.
    had: Mutex<BTreeSet<usize>>,
    refused: Mutex<Vec<String>>,
}

impl Mail {
    pub(super) fn new(config: &MailConfig) -> Result<Self, SinkError> {
        let mailbox = |text: &String| {
            text.parse::<Mailbox>().map_err(|error| SinkError::last(format!("{text} is no mail address: {error}")))
        };
        Ok(Self {
            from: mailbox(&config.from)?,
            to: config.to.iter().map(mailbox).collect::<Result<_, _>>()?,
            transport: transport(config)?,
            config: config.clone(),
            had: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    /// One attempt at everybody who has neither had nor refused it.
    pub(super) async fn send(&self, body: &NoticeBody) -> Answer {
        let message = self.message(body)?.formatted();
        let (mut last, mut failed): (Option<String>, Option<SinkError>) = (None, None);
        for (index, to) in self.to.iter().enumerate() {
            if self.had.lock().unwrap_or_else(PoisonError::into_inner).contains(&index) {
                continue;
            }
            match self.send_to(to, &message).await {
                Ok(Taken(text)) => {
                    last = Some(text);
                    self.had.lock().unwrap_or_else(PoisonError::into_inner).insert(index);
                }
                Err(error) if error.is_final => {
                    self.had.lock().unwrap_or_else(PoisonError::into_inner).insert(index);
                    let line = format!("{} refused: {}", to.email, error.message);
                    self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
                Err(error) => {
                    // Who cannot be reached for one is not reached for the others either, and each would wait as long.
                    let message = format!("{}: {}", to.email, error.message);
                    let is_everybodys = !error.message.starts_with(|letter: char| letter.is_ascii_digit());
                    failed = Some(SinkError { message, ..error });
                    if is_everybodys {
                        break;
                    }
                }
            }
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if refused.is_empty() {
            let count = self.to.len();
            let said = last.unwrap_or_default();
            return Ok(Taken(if count == 1 { said } else { format!("{said} ({count} addresses)") }));
        }
        let taken = self.to.len() - refused.len();
        Err(SinkError::last(format!("{} ({taken} of {} addresses took it)", refused.join("; "), self.to.len())))
    }

    async fn send_to(&self, to: &Mailbox, message: &[u8]) -> Answer {
        let envelope = Envelope::new(Some(self.from.email.clone()), vec![to.email.clone()])
            .map_err(|error| SinkError::last(chain(&error)))?;
        let timeout = self.config.patience.timeout;
        match tokio::time::timeout(timeout.as_std(), self.transport.send_raw(&envelope, message)).await {
            Ok(Ok(response)) => Ok(Taken(words(&response))),
            Ok(Err(error)) => Err(judged(&error)),
            Err(_) => Err(SinkError::passing(format!("no answer within {timeout}"))),
        }
    }

    fn message(&self, body: &NoticeBody) -> Result<Message, SinkError> {
        let Text { subject, text, html } = templates::render(body, self.config.templates.as_deref());
        let first = message_id(body, 0, "raised");
        let id = message_id(body, body.reminder, body.status.as_str());
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(subject)
            .date(SystemTime::from(body.sent_at))
            .message_id(Some(id.clone()));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        // Reminders and the end stand below the beginning, in one thread.
        if id != first {
            builder = builder.in_reply_to(first.clone()).references(first);
        }
        let mut message = builder
            .multipart(MultiPart::alternative_plain_html(text, html))
            .map_err(|error| SinkError::last(chain(&error)))?;
        // So that no holiday notice answers.
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        Ok(message)
    }
}

/// The same for every attempt, so that a mail that comes twice is seen once.
fn message_id(body: &NoticeBody, reminder: u32, status: &str) -> String {
    format!("<{}.{status}.{reminder}@{}.landfall>", body.id, body.cluster)
}

fn transport(config: &MailConfig) -> Result<AsyncSmtpTransport<Tokio1Executor>, SinkError> {
    let tls = match config.security {
        MailSecurity::None => Tls::None,
        MailSecurity::Starttls => Tls::Required(tls(config)?),
        MailSecurity::Tls => Tls::Wrapper(tls(config)?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(config.server.as_str())
        .port(config.port)
        .timeout(Some(config.patience.timeout.as_std()))
        .tls(tls);
    if let Some(login) = &config.login {
        let password = read_secret(&login.password_file)
            .map_err(|error| SinkError::last(format!("the password cannot be read: {error}")))?;
        let password = String::from_utf8_lossy(&password).into_owned();
        builder = builder.credentials(Credentials::new(login.user.clone(), password));
    }
    Ok(builder.build())
}

fn tls(config: &MailConfig) -> Result<TlsParameters, SinkError> {
    let mut builder = TlsParameters::builder(config.server.clone());
    if let Some(path) = &config.ca {
        let pem = std::fs::read(path)
            .map_err(|error| SinkError::last(format!("{} cannot be read: {error}", path.display())))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| SinkError::last(chain(&error)))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| SinkError::last(chain(&error)))
}

fn words(response: &Response) -> String {
    with_words(&response.code().to_string(), &response.message().collect::<Vec<_>>().join(" ")).replacen(": ", " ", 1)
}

/// A refusal with 5 in front is for good, and so is what this side will not do, such as going on without TLS.
fn judged(error: &lettre::transport::smtp::Error) -> SinkError {
    let said = chain(error);
    let message = match error.status() {
        Some(code) => with_words(&code.to_string(), said.split_once("): ").map_or(said.as_str(), |(_, words)| words)),
        None => said,
    };
    SinkError { message, is_final: error.is_permanent() || error.is_client(), retry_after: None }
}

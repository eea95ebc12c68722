//! `landfall user`: who may look in at a coordinator's pages and API. Works on that coordinator's own state folder.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use landfall_proto::time::{Duration, after};
use serde_json::json;

use super::acts::who;
use super::failure::{BAD, Failure, USAGE};
use super::screen::Screen;
use crate::config::{CONFIG_PATH, Config, WebTls};
use crate::edge::clock;
use crate::web::access::store::{Roll, Store, Token, User};
use crate::web::access::{INVITE_LIFE, INVITE_PATH, Role, TOKEN_MARK, new_invite, password, secret::Secret};
use crate::web::{AccessError, Home, UserName};

/// Bytes of a file of users, and of a password, that are read at most.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const PASSWORD_BYTES_MAX: u64 = 4096;

const EXAMPLES: &str = "\
Examples:
  landfall user add ann --role admin            asks for a password at the terminal
  pass show landfall | landfall user add ann    or reads it from the standard input
  landfall user invite --role operator          a link with which somebody becomes a user, once, within a day
  landfall user token add ann --label grafana --role viewer --expires 90d
  landfall user list --json
  landfall user export | ssh other sudo landfall user import

Each coordinator has users of its own; export and import carry them, as hashes, to the second one. Changes count at once.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Users {
    /// The coordinator's file; run this as a user who may write its state_dir
    #[arg(long, short, value_name = "FILE", env = "LANDFALL_CONFIG", default_value = CONFIG_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Add a user with a password
    Add {
        name: UserName,
        #[arg(long, value_enum, default_value_t = Role::Viewer)]
        role: Role,
        /// For programs only: no password, tokens are added afterwards
        #[arg(long)]
        no_password: bool,
    },
    /// Who may look in
    List,
    /// Give a user another role
    Role {
        name: UserName,
        #[arg(value_enum)]
        role: Role,
    },
    /// Set a user's password; his visits end
    Password { name: UserName },
    /// Remove a user with his tokens; his visits end
    Remove { name: UserName },
    /// Tokens for programs
    #[command(subcommand)]
    Token(TokenAct),
    /// Make a link with which somebody becomes a user, or chooses a fresh password; good once, for a day
    Invite {
        /// Whose link it is; a user who exists keeps his role
        #[arg(long)]
        name: Option<UserName>,
        #[arg(long, value_enum, default_value_t = Role::Admin)]
        role: Role,
    },
    /// Print all users and tokens, as hashes, for another coordinator
    Export,
    /// Take over what `export` printed, from the standard input; users of the same name are replaced
    Import,
}

#[derive(Debug, Subcommand)]
enum TokenAct {
    /// Make a token; it is shown this once
    Add {
        name: UserName,
        /// What it is for
        #[arg(long)]
        label: String,
        /// Less than the user may [default: the user's role]
        #[arg(long, value_enum)]
        role: Option<Role>,
        /// How long it is good, such as 90d [default: until it is revoked]
        #[arg(long)]
        expires: Option<Duration>,
    },
    /// All tokens, or one user's
    List { name: Option<UserName> },
    /// Make a token worthless
    Revoke {
        name: UserName,
        /// As `token list` shows it
        id: String,
    },
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        Self { problem: error.problem(), code: BAD }
    }
}

pub(super) fn run(options: Users, screen: &Screen) -> Result<ExitCode, Failure> {
    let config = Config::load(&options.config)?;
    let store = Store::new(&Home::folder(&config.state_dir));
    match options.act {
        Act::Add { name, role, no_password } => {
            let password = if no_password { None } else { Some(password::hash(&ask_password()?)?) };
            let user = User { role, password, added_at: clock::now(), tokens: Vec::new() };
            let what = format!("{name} was added as {role}");
            change(&store, screen, what, |roll| {
                if roll.users.contains_key(&name) {
                    return Err(AccessError::Exists(name));
                }
                roll.users.insert(name, user);
                Ok(())
            })
        }
        Act::List => Ok(list(&store, screen)?),
        Act::Role { name, role } => change(&store, screen, format!("{name} is {role} from now on"), |roll| {
            roll.user(&name)?.role = role;
            Ok(())
        }),
        Act::Password { name } => {
            store.roll()?.users.get(&name).ok_or_else(|| AccessError::NoUser(name.clone()))?;
            let password = password::hash(&ask_password()?)?;
            change(
                &store,
                screen,
                format!("{name} has another password; visits with the one before are over"),
                |roll| {
                    roll.user(&name)?.password = Some(password);
                    Ok(())
                },
            )
        }
        Act::Remove { name } => change(&store, screen, format!("{name} was removed"), |roll| {
            roll.users.remove(&name).map(drop).ok_or(AccessError::NoUser(name))
        }),
        Act::Token(act) => token(act, &store, screen),
        Act::Invite { name, role } => invite(&config, &store, screen, name, role),
        Act::Export => {
            let roll = Roll { invites: Vec::new(), ..Roll::clone(&*store.roll()?) };
            screen.json_answer(&roll);
            Ok(ExitCode::SUCCESS)
        }
        Act::Import => import(&store, screen),
    }
}

/// Changes the file, notes who did, and says so.
fn change(
    store: &Store,
    screen: &Screen,
    what: String,
    change: impl FnOnce(&mut Roll) -> Result<(), AccessError>,
) -> Result<ExitCode, Failure> {
    store.change(|roll| {
        change(roll)?;
        roll.note(clock::now(), &who(), &what);
        Ok(())
    })?;
    if screen.json {
        screen.json_answer(&json!({ "done": what }));
    } else {
        screen.line(&what);
    }
    Ok(ExitCode::SUCCESS)
}

fn list(store: &Store, screen: &Screen) -> Result<ExitCode, AccessError> {
    let roll = store.roll()?;
    if screen.json {
        let users: Vec<_> = roll
            .users
            .iter()
            .map(|(name, user)| {
                json!({ "name": name, "role": user.role, "added_at": user.added_at, "password": user.password.is_some(), "tokens": user.tokens.len() })
            })
            .collect();
        screen.json_answer(&users);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = roll.users.iter().map(|(name, user)| {
        let password = if user.password.is_some() { "yes" } else { "no" };
        vec![
            name.to_string(),
            user.role.to_string(),
            password.to_owned(),
            user.tokens.len().to_string(),
            user.added_at.to_string(),
        ]
    });
    screen.table(&["USER", "ROLE", "PASSWORD", "TOKENS", "ADDED"], rows.collect());
    if roll.users.is_empty() {
        screen.note("nobody was added yet; `landfall user invite` makes a link for a first admin");
    }
    Ok(ExitCode::SUCCESS)
}

fn token(act: TokenAct, store: &Store, screen: &Screen) -> Result<ExitCode, Failure> {
    match act {
        TokenAct::Add { name, label, role, expires } => {
            let (secret, now) = (Secret::draw()?, clock::now());
            let id: String = secret.hash().chars().take(12).collect();
            let label: String = label.chars().filter(|letter| !letter.is_control()).take(100).collect();
            let expires_at = expires.map(|life| after(now, life));
            let token = Token { id: id.clone(), label, role, hash: secret.hash(), made_at: now, expires_at };
            store.change(|roll| {
                roll.user(&name)?.tokens.push(token);
                roll.note(now, &who(), &format!("token {id} of {name} was made"));
                Ok(())
            })?;
            let text = format!("{TOKEN_MARK}{id}_{}", secret.expose());
            if screen.json {
                screen.json_answer(&json!({ "id": id, "token": text, "expires_at": expires_at }));
            } else {
                screen.line(&text);
                screen.note("this is shown once; send it as `Authorization: Bearer TOKEN`");
            }
            Ok(ExitCode::SUCCESS)
        }
        TokenAct::List { name } => {
            let roll = store.roll()?;
            let of: BTreeMap<_, _> =
                roll.users.iter().filter(|(user, _)| name.as_ref().is_none_or(|name| name == *user)).collect();
            let tokens = of.into_iter().flat_map(|(user, it)| it.tokens.iter().map(move |token| (user, token)));
            if screen.json {
                let tokens = tokens.map(|(user, token)| {
                    json!({ "user": user, "id": token.id, "label": token.label, "role": token.role, "made_at": token.made_at, "expires_at": token.expires_at })
                });
                screen.json_answer(&tokens.collect::<Vec<_>>());
            } else {
                let rows = tokens.map(|(user, token)| {
                    let role = token.role.map_or_else(|| "the user's".to_owned(), |role| role.to_string());
                    let expires = token.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
                    vec![
                        user.to_string(),
                        token.id.clone(),
                        token.label.clone(),
                        role,
                        token.made_at.to_string(),
                        expires,
                    ]
                });
                screen.table(&["USER", "ID", "LABEL", "ROLE", "MADE", "EXPIRES"], rows.collect());
            }
            Ok(ExitCode::SUCCESS)
        }
        TokenAct::Revoke { name, id } => {
            change(store, screen, format!("token {id} of {name} is worthless from now on"), |roll| {
                let user = roll.user(&name)?;
                let before = user.tokens.len();
                user.tokens.retain(|token| token.id != id);
                if user.tokens.len() < before { Ok(()) } else { Err(AccessError::NoToken { user: name, token: id }) }
            })
        }
    }
}

fn invite(
    config: &Config,
    store: &Store,
    screen: &Screen,
    name: Option<UserName>,
    role: Role,
) -> Result<ExitCode, Failure> {
    let Some(web) = &config.web else {
        return Err(Failure::new(
            USAGE,
            "this coordinator has no pages",
            "its file has no table [web]",
            "add `[web]`, which listens at 127.0.0.1:8440, and start it again",
        ));
    };
    let (secret, now) = (Secret::draw()?, clock::now());
    let invite = new_invite(&secret, role, name.clone(), now);
    store.change(|roll| {
        roll.drop_expired(now);
        roll.invites.push(invite);
        let whose = name.map_or_else(|| format!("a future {role}"), |name| name.to_string());
        roll.note(now, &who(), &format!("a link was made for {whose}"));
        Ok(())
    })?;
    let scheme = if web.tls == WebTls::Plain { "http" } else { "https" };
    let origin = web.public_url.as_ref().map_or_else(|| format!("{scheme}://{}", web.listen), |url| url.origin.clone());
    let link = format!("{origin}{INVITE_PATH}{}", secret.expose());
    if screen.json {
        screen.json_answer(&json!({ "link": link, "expires_at": after(now, INVITE_LIFE) }));
    } else {
        screen.line(&link);
        screen.note("good once, and for a day");
    }
    Ok(ExitCode::SUCCESS)
}

fn import(store: &Store, screen: &Screen) -> Result<ExitCode, Failure> {
    let mut text = String::new();
    stdin()
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Failure::internal("the standard input cannot be read", &error))?;
    let given: Roll = serde_json::from_str(&text).map_err(|error| {
        Failure::new(
            USAGE,
            "this is not what `landfall user export` prints",
            error.to_string(),
            "pipe the output of that verb in here",
        )
    })?;
    let what = format!("{} users were taken over", given.users.len());
    change(store, screen, what, |roll| {
        roll.users.extend(given.users);
        Ok(())
    })
}

/// From the terminal, twice and unseen, or the first line of the standard input; never from the arguments, which everybody sees.
fn ask_password() -> Result<String, Failure> {
    let unreadable = |error| Failure::internal("the password cannot be read", &error);
    if !stdin().is_terminal() {
        let mut text = String::new();
        stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    let first = rpassword::prompt_password("password: ").map_err(unreadable)?;
    if first == rpassword::prompt_password("once more: ").map_err(unreadable)? {
        Ok(first)
    } else {
        Err(Failure::new(USAGE, "the two passwords differ", "one of them was mistyped", "try again"))
    }
}

//! The watcher watched: an address outside the mesh is called while this coordinator leads and works, and whoever owns that
//! address tells people when the calls stay away.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::clock;
use super::pass::Pass;
use crate::config::WatchdogConfig;

/// How long one call may take, from connecting to the answer's status.
const CALL_WITHIN: Duration = Duration::from_secs(10);

/// The pause before a call that failed is tried again; it doubles until the next call is due anyway.
const RETRY_MIN: Duration = Duration::from_secs(1);

/// Calls in a row that may fail before it is said as an error; a single one is the weather outside.
const FAILURES_QUIET: u32 = 3;

/// Calls until it is dropped. `None` where no such client can be made, which is said.
pub(super) fn watch(config: &WatchdogConfig, pass: Arc<Pass>) -> Option<Watching> {
    let client = reqwest::Client::builder()
        .timeout(CALL_WITHIN)
        .redirect(Policy::limited(3))
        .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(1)
        .build();
    match client {
        Ok(client) => {
            pass.has_watchdog();
            let watchdog = Watchdog { client, url: config.url.clone(), interval: config.interval.as_std(), pass };
            Some(Watching(tokio::spawn(watchdog.run())))
        }
        Err(error) => {
            tracing::error!(%error, "the watchdog's address is not called: there is no client for it");
            None
        }
    }
}

/// Ends the calls when it is dropped.
#[derive(Debug)]
pub(super) struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Watchdog {
    client: reqwest::Client,
    url: String,
    interval: Duration,
    pass: Arc<Pass>,
}

impl Watchdog {
    async fn run(self) {
        let mut failures = 0;
        loop {
            let due = Instant::now() + self.interval;
            self.call_until(due, &mut failures).await;
            sleep_until(due).await;
        }
    }

    /// Calls until one call succeeds, the next one is due, or there is nothing good to say.
    async fn call_until(&self, due: Instant, failures: &mut u32) {
        let mut pause = RETRY_MIN;
        while self.pass.is_leading_and_fresh() {
            let told = self.call().await;
            self.pass.note_call(clock::now(), told.is_ok());
            match told {
                Ok(()) => {
                    if *failures >= FAILURES_QUIET {
                        tracing::info!(failures, "the watchdog's address is reached again");
                    }
                    *failures = 0;
                    return;
                }
                Err(error) => {
                    *failures = failures.saturating_add(1);
                    if *failures == FAILURES_QUIET {
                        tracing::error!(
                            error,
                            fix = "see that this machine reaches the address of [watchdog]; its owner raises an alarm meanwhile",
                            "the watchdog's address cannot be called"
                        );
                    } else {
                        tracing::debug!(error, failures, "a call of the watchdog's address failed");
                    }
                }
            }
            if Instant::now() + pause >= due {
                return;
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    async fn call(&self) -> Result<(), String> {
        // The address is a secret of its own, so it stays out of logs.
        let told = |error: reqwest::Error| error.without_url().to_string();
        let answer = self.client.get(&self.url).send().await.map_err(told)?;
        answer.error_for_status().map(drop).map_err(told)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use landfall_proto::view::WatchdogView;

    use super::*;

    /// Answers the first calls with 503 and later ones with 200, and counts.
    async fn receiver(refusals: usize) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ping/me", listener.local_addr().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 2048];
                let read = stream.read(&mut buffer).await.unwrap();
                assert!(buffer[..read].starts_with(b"GET /ping/me HTTP/1.1"));
                let status = if counted.fetch_add(1, Ordering::SeqCst) < refusals { "503 no" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (url, count)
    }

    async fn reaches(count: &AtomicUsize, wanted: usize) {
        let wait = async {
            while count.load(Ordering::SeqCst) < wanted {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the address is called so often");
    }

    fn config(url: String, interval_ms: u64) -> WatchdogConfig {
        WatchdogConfig { url, interval: landfall_proto::time::Duration::from_ms(interval_ms) }
    }

    #[tokio::test]
    async fn the_address_is_called_while_the_coordinator_leads_and_works() {
        let (url, count) = receiver(0).await;
        let pass = Arc::new(Pass::default());
        pass.note(clock::now(), true);
        let watching = watch(&config(url, 50), Arc::clone(&pass)).unwrap();
        reaches(&count, 3).await;
        drop(watching);
    }

    #[tokio::test]
    async fn a_call_that_fails_is_made_again_before_the_next_one_is_due() {
        let (url, count) = receiver(1).await;
        let pass = Arc::new(Pass::default());
        pass.note(clock::now(), true);
        let _watching = watch(&config(url, 3_600_000), Arc::clone(&pass)).unwrap();
        assert_eq!(pass.calls(), Some(WatchdogView::default()));
        reaches(&count, 2).await;
        let told = async {
            while pass.calls().is_none_or(|calls| calls.called_at.is_none()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), told).await.expect("the call that succeeded is noted");
        let calls = pass.calls().unwrap();
        assert_eq!((calls.failures, calls.failures_total), (0, 1));
    }

    #[tokio::test]
    async fn nobody_is_called_by_a_standby_nor_by_a_loop_that_never_came_round() {
        let (url, count) = receiver(0).await;
        let pass = Arc::new(Pass::default());
        let _watching = watch(&config(url, 10), Arc::clone(&pass)).unwrap();
        sleep(Duration::from_millis(60)).await;
        pass.note(clock::now(), false);
        sleep(Duration::from_millis(60)).await;
        assert_eq!(count.load(Ordering::SeqCst), 0);
        pass.note(clock::now(), true);
        reaches(&count, 1).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hangs_is_no_longer_vouched_for() {
        let pass = Pass::default();
        pass.note(clock::now(), true);
        assert!(pass.is_leading_and_fresh());
        tokio::time::advance(FRESH_FOR_TEST).await;
        assert!(!pass.is_leading_and_fresh());
    }

    const FRESH_FOR_TEST: Duration = Duration::from_secs(31);
}

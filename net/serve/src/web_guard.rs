//! Web requests at our door: a page may make a browser send `POST` with commands in its body to a
//! server that its user can reach. The first line of one, or its `Host:`, ends the connection.

use std::net::SocketAddr;

use tracing::warn;

use crate::core::Core;

/// Milliseconds between two warnings of one lane.
const WARNING_INTERVAL_MS: u64 = 60_000;

/// Whether a command's name is the beginning of a line of HTTP.
pub fn is_web_request(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

impl Core {
    /// Tells the log, at most once a minute.
    #[cold]
    pub fn warn_of_web_request(&mut self, peer: SocketAddr) {
        let now = self.store.now().steady.0;
        self.stats.web_requests += 1;
        if now.saturating_sub(self.stats.web_warned_ms) < WARNING_INTERVAL_MS {
            return;
        }
        self.stats.web_warned_ms = now;
        warn!(
            %peer,
            "Possible SECURITY ATTACK detected. Somebody sends POST or Host: commands, as a browser \
             does when a page sends it to a port that speaks no HTTP (cross protocol scripting). The \
             connection was closed."
        );
    }
}

//! Transactions.

use crate::spec::ServeCommand as On;

commands! { TRANSACTIONS from super::scripting::SCRIPTING_END, up to TRANSACTIONS_END;
    "discard" Exactly(1) Neither None Single => Serve(On::Discard), ""
        [NOSCRIPT LOADING STALE FAST ALLOW_BUSY] [TRANSACTION] [] []
        Transactions "2.0.0" "O(N) in the queued commands" "Gives a transaction up.";
    "exec" Exactly(1) Neither None Single => Serve(On::Exec), ""
        [NOSCRIPT LOADING STALE SKIP_SLOWLOG] [TRANSACTION] [] []
        Transactions "1.2.0" "Depends on the queued commands" "Runs a transaction.";
    "multi" Exactly(1) Neither None Single => Serve(On::Multi), ""
        [NOSCRIPT LOADING STALE FAST ALLOW_BUSY] [TRANSACTION] [] []
        Transactions "1.2.0" "O(1)" "Begins a transaction.";
    "unwatch" Exactly(1) Neither None Single => Serve(On::Unwatch), ""
        [NOSCRIPT LOADING STALE FAST ALLOW_BUSY] [TRANSACTION] [] []
        Transactions "2.2.0" "O(N) in the watched keys" "Forgets what WATCH watches.";
    "watch" AtLeast(2) Neither All Single => Serve(On::Watch), "key [key ...]"
        [NOSCRIPT LOADING STALE FAST ALLOW_BUSY] [TRANSACTION] ["RO"] []
        Transactions "2.2.0" "O(N) in the keys" "Lets the next transaction run only if these keys stay as they are.";
}

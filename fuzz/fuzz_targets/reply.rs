//! The reply reader: never panics, never takes more than is there, and finds the same end whether
//! the bytes come whole or one by one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringlane_resp::{ReplyEnd, Value, skip};

fuzz_target!(|data: &[u8]| {
    let whole = skip(data);
    if let Ok(Some(length)) = whole {
        assert!(length <= data.len());
        // Nested too deep is the one reason to refuse what has an end.
        if let Ok(value) = Value::parse(data) {
            assert_eq!(value.map(|(_, used)| used), Some(length));
        }
    }
    let mut end = ReplyEnd::new();
    let mut pieces = Ok(None);
    for length in 0..=data.len().min(4096) {
        pieces = end.find(&data[..length]);
        if pieces != Ok(None) {
            break;
        }
    }
    if data.len() <= 4096 {
        assert_eq!(pieces, whole);
    }
});

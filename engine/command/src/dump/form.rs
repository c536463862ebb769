//! The forms of Redis's serialisation: the number before a value says of what type it is and how it
//! is written. Source: the `RDB_TYPE_*` numbers of
//! <https://github.com/redis/redis/blob/unstable/src/rdb.h>.

pub const TEXT: u8 = 0;
pub const LIST: u8 = 1;
pub const SET: u8 = 2;
/// Scores as texts.
pub const SORTED_TEXT_SCORES: u8 = 3;
pub const HASH: u8 = 4;
pub const SORTED: u8 = 5;

pub const LIST_ZIPLIST: u8 = 10;
pub const SET_INTSET: u8 = 11;
pub const SORTED_ZIPLIST: u8 = 12;
pub const HASH_ZIPLIST: u8 = 13;
/// A list of ziplists.
pub const LIST_ZIPLISTS: u8 = 14;
pub const STREAM_5: u8 = 15;
pub const HASH_LISTPACK: u8 = 16;
pub const SORTED_LISTPACK: u8 = 17;
/// A list of listpacks, and of long elements by themselves.
pub const LIST_LISTPACKS: u8 = 18;
pub const STREAM_7_0: u8 = 19;
pub const SET_LISTPACK: u8 = 20;
pub const STREAM_7_2: u8 = 21;
/// Of Redis before its 7.4 was out, each field with its expiry; of Valkey 9, by a form of its own.
pub const HASH_EXPIRY_EARLY: u8 = 22;
pub const HASH_LISTPACK_EXPIRY_EARLY: u8 = 23;
/// The expiries relative to the first one.
pub const HASH_EXPIRY: u8 = 24;
pub const HASH_LISTPACK_EXPIRY: u8 = 25;
pub const STREAM_8_6: u8 = 26;
pub const STREAM_8_8: u8 = 27;

/// Every form of a stream.
pub const STREAMS: [u8; 5] = [STREAM_5, STREAM_7_0, STREAM_7_2, STREAM_8_6, STREAM_8_8];

//! PFADD, PFCOUNT, PFMERGE. The string that a key holds, and the arithmetic on it, are in `registers`.

use ringlane_store::{Expiry, Key, NewValue, NoticeClasses};

use crate::registers::{self, Corrupted, Registers, Sketch};
use crate::strings::with_bytes;
use crate::{CommandError, Context};

/// What merging a sketch takes: as long as answering so many elements of a collection.
const VISITS_A_SKETCH: usize = 64;

const NOT_A_SKETCH: CommandError =
    CommandError::Fixed("WRONGTYPE Key is not a valid HyperLogLog string value.");

impl From<Corrupted> for CommandError {
    fn from(_: Corrupted) -> Self {
        Self::Fixed("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// A copy of the key's sketch; None if there is no such key.
fn sketch_of(context: &mut Context<'_>, key: &Key<'_>) -> Result<Option<Sketch>, CommandError> {
    let Some(value) = context.store.get(key) else { return Ok(None) };
    with_bytes(value, |bytes| Sketch::of(bytes).map(Some).ok_or(NOT_A_SKETCH))?
}

fn put(context: &mut Context<'_>, key: &Key<'_>, sketch: &Sketch) -> Result<(), CommandError> {
    context.store.set(key, NewValue::Text(sketch.bytes()), Expiry::Keep)?;
    context.notify(NoticeClasses::STRING, "pfadd", key);
    Ok(())
}

/// `PFADD key [element [element …]]`
pub fn pfadd(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.new_key(1)?;
    let elements = context.args.from(2);
    // Most elements of a large sketch change nothing, and then nothing is copied.
    let settled = match context.store.peek(&key) {
        Some(value) => with_bytes(value, |bytes| registers::dense_has_all(bytes, elements))?,
        None => false,
    };
    if settled {
        context.store.touch(&key);
        context.reply.integer(0);
        return Ok(());
    }
    let old = sketch_of(context, &key)?;
    let mut changed = old.is_none();
    let sketch = old.unwrap_or_else(Sketch::empty);
    let mut sketch = sketch.sparse_up_to(context.limits.hll_sparse_bytes_max);
    for element in elements {
        changed |= sketch.add(element)?;
    }
    if changed {
        sketch.forget_estimate();
        put(context, &key, &sketch)?;
    }
    context.reply.integer(i64::from(changed));
    Ok(())
}

/// `PFCOUNT key [key …]`: of several keys, the estimate of their union.
pub fn pfcount(context: &mut Context<'_>) -> Result<(), CommandError> {
    let estimate = match context.args.len() {
        2 => count_one(context)?,
        count => {
            context.limits.claim((count - 1).saturating_mul(VISITS_A_SKETCH))?;
            let mut union = Registers::default();
            for index in 1..count {
                let key = context.key(index);
                if let Some(sketch) = sketch_of(context, &key)? {
                    sketch.merge_into(&mut union)?;
                }
            }
            union.estimate()
        }
    };
    context.reply.integer(estimate as i64);
    Ok(())
}

/// The estimate of one key, which remembers it until it changes.
fn count_one(context: &mut Context<'_>) -> Result<u64, CommandError> {
    let key = context.key(1);
    let Some(mut sketch) = sketch_of(context, &key)? else { return Ok(0) };
    if let Some(estimate) = sketch.known_estimate() {
        return Ok(estimate);
    }
    let mut registers = Registers::default();
    sketch.merge_into(&mut registers)?;
    let estimate = registers.estimate();
    sketch.remember_estimate(estimate);
    // No longer than before; if there is no room all the same, it is computed again next time.
    let _ = context.store.set(&key, NewValue::Text(sketch.bytes()), Expiry::Keep);
    Ok(estimate)
}

/// `PFMERGE destkey [sourcekey [sourcekey …]]`
pub fn pfmerge(context: &mut Context<'_>) -> Result<(), CommandError> {
    let to = context.new_key(1)?;
    context.limits.claim((context.args.len() - 1).saturating_mul(VISITS_A_SKETCH))?;
    let mut union = Registers::default();
    let mut dense = false;
    for index in 1..context.args.len() {
        let key = context.key(index);
        if let Some(sketch) = sketch_of(context, &key)? {
            dense |= sketch.is_dense();
            sketch.merge_into(&mut union)?;
        }
    }
    let merged = sketch_of(context, &to)?.unwrap_or_else(Sketch::empty);
    let mut merged = merged.sparse_up_to(context.limits.hll_sparse_bytes_max);
    if dense {
        merged.make_dense()?;
    }
    merged.raise(&union)?;
    merged.forget_estimate();
    put(context, &to, &merged)?;
    context.reply.simple("OK");
    Ok(())
}

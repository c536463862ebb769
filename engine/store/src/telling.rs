//! Telling whoever listens what changes, and repeating what another store has told. Changes nothing by
//! itself: the primitives of the store call it.

use crate::{Effect, EffectSink, Expiry, Key, OutOfMemory, OwnedEffect, Store, Sweep};

impl Store {
    /// Sets who hears of every change. With none, a change costs one predictable branch.
    pub fn set_effect_sink(&mut self, sink: Option<Box<dyn EffectSink>>) {
        self.sink = sink;
    }

    /// Whether anyone hears of changes.
    #[inline]
    pub fn has_sink(&self) -> bool {
        self.sink.is_some()
    }

    #[inline]
    pub(crate) fn say(&mut self, tell: impl FnOnce(&mut dyn EffectSink)) {
        if let Some(sink) = &mut self.sink {
            tell(sink.as_mut());
        }
    }

    /// Tells of a change of whole databases before it is made.
    #[inline]
    pub(crate) fn warn_of(&mut self, sweep: Sweep) {
        if let Some(mut sink) = self.sink.take() {
            sink.before_sweep(sweep, &|key| self.find(key).is_some());
            self.sink = Some(sink);
        }
    }

    /// Tells the value and expiry that a key has just got.
    #[inline]
    pub(crate) fn say_set(&mut self, key: &Key<'_>) {
        if self.sink.is_some() {
            self.tell_set(key);
        }
    }

    #[cold]
    fn tell_set(&mut self, key: &Key<'_>) {
        let Some(mut sink) = self.sink.take() else { return };
        let found = self.find(key).expect("just set");
        let entry = self.entry(found);
        sink.effect(&Effect::Set { key: *key, value: entry.value(), expiry: entry.expiry() });
        self.sink = Some(sink);
    }

    /// Repeats a change that another store made, and has told of.
    pub fn apply(&mut self, effect: &OwnedEffect) -> Result<(), OutOfMemory> {
        self.without_news(|store| store.repeat(effect))
    }

    fn repeat(&mut self, effect: &OwnedEffect) -> Result<(), OutOfMemory> {
        match effect {
            OwnedEffect::Set { key, value, expiry } => {
                let expiry = expiry.map_or(Expiry::Never, Expiry::At);
                self.set(&key.as_key(), value.as_new(), expiry)?;
            }
            OwnedEffect::Edit { key, type_name, changes } => {
                self.repeat_changes(&key.as_key(), *type_name, changes)?;
            }
            OwnedEffect::Expire { key, expiry } => {
                self.set_expiry(&key.as_key(), *expiry);
            }
            OwnedEffect::Remove { key, cause } => {
                self.remove(&key.as_key(), *cause);
            }
            OwnedEffect::Flush { database } => self.flush(*database),
            OwnedEffect::Swap { a, b } => self.swap(*a, *b),
        }
        Ok(())
    }
}

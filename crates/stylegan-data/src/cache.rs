//! Decoded pictures kept in memory, up to a budget.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A slot per picture; once the budget is spent, further pictures are not kept.
///
/// Training visits pictures in shuffled epochs, where replacing kept pictures by newer ones would
/// not give more hits, so nothing is ever dropped.
#[derive(Debug)]
pub(crate) struct Cache {
    slots: Vec<OnceLock<Arc<[u8]>>>,
    budget_bytes: usize,
    used_bytes: AtomicUsize,
}

impl Cache {
    pub(crate) fn new(len: usize, budget_bytes: usize) -> Self {
        Self {
            slots: (0..len).map(|_| OnceLock::new()).collect(),
            budget_bytes,
            used_bytes: AtomicUsize::new(0),
        }
    }

    /// The kept bytes of `index`, or those that `load` gives, kept if the budget allows.
    pub(crate) fn get_or_load<E>(
        &self,
        index: usize,
        load: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Arc<[u8]>, E> {
        if let Some(bytes) = self.slots[index].get() {
            return Ok(bytes.clone());
        }
        let bytes: Arc<[u8]> = load()?.into();
        if self.reserve(bytes.len()) && self.slots[index].set(bytes.clone()).is_err() {
            // Another thread loaded the same picture first.
            self.used_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
        Ok(bytes)
    }

    fn reserve(&self, bytes: usize) -> bool {
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(used + bytes).filter(|&total| total <= self.budget_bytes)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_bytes_are_not_loaded_again_and_the_budget_holds() {
        let cache = Cache::new(3, 8);
        let load = |value: u8| move || Ok::<_, ()>(vec![value; 4]);
        for index in 0..3 {
            cache.get_or_load(index, load(index as u8)).unwrap();
        }
        assert_eq!(cache.used_bytes.load(Ordering::Relaxed), 8);
        let again: Vec<u8> = (0..3)
            .map(|index| cache.get_or_load(index, load(9)).unwrap()[0])
            .collect();
        assert_eq!(again, [0, 1, 9]);
    }

    #[test]
    fn a_failed_load_is_tried_again() {
        let cache = Cache::new(1, 8);
        assert_eq!(cache.get_or_load(0, || Err("damaged")), Err("damaged"));
        let bytes = cache.get_or_load(0, || Ok::<_, &str>(vec![7])).unwrap();
        assert_eq!(*bytes, [7]);
    }
}

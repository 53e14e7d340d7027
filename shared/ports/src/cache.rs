//! Values that a function keeps between its invocations for a limited time.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

/// Values by key, each with its expiry.
#[derive(Debug)]
pub struct Cache<K, V>(Mutex<BTreeMap<K, (V, Timestamp)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, V: Clone> Cache<K, V> {
    /// Returns the value of a key if it has not expired. Removes all expired values, so that the cache does not grow.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q, now: Timestamp) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.retain(|_, (_, until)| now < *until);
        values.get(key).map(|(value, _)| value.clone())
    }

    /// Stores a value with its expiry, and replaces the current value of the key.
    pub fn put(&self, key: K, value: V, until: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (value, until));
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::Cache;

    #[test]
    fn a_value_is_returned_until_it_expires() {
        let second = |n| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(n);
        let cache = Cache::<String, u32>::default();
        assert_eq!(cache.get("a", second(0)), None);
        cache.put("a".into(), 1, second(10));
        cache.put("b".into(), 2, second(20));
        assert_eq!((cache.get("a", second(9)), cache.get("b", second(9))), (Some(1), Some(2)));
        cache.put("a".into(), 3, second(11));
        assert_eq!(cache.get("a", second(10)), Some(3));
        assert_eq!((cache.get("a", second(11)), cache.get("b", second(11))), (None, Some(2)));
    }
}

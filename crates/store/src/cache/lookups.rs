//! What caches have answered before, kept on the disk, so that the next run need not ask again.
//!
//! Both kinds of answers are kept: a narinfo for a month, that there is none for an hour, what a cache says of itself
//! for a week; these are Nix's own times. What is kept is no more trusted than what a cache says: signatures are checked
//! each time. Losing the file loses nothing, so it is written without waiting for the disk, and a file that cannot be
//! used is as good as none.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};

const DAY: i64 = 24 * 60 * 60;

/// How long answers count, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of a narinfo (`narinfo-cache-positive-ttl`).
    pub positive: i64,
    /// Of the answer that there is none (`narinfo-cache-negative-ttl`).
    pub negative: i64,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { positive: 30 * DAY, negative: 60 * 60 }
    }
}

/// Answers of caches.
pub struct Lookups {
    file: PathBuf,
    lifetimes: Lifetimes,
    /// Opened when it is first needed; `None` if it cannot be used.
    connection: OnceLock<Option<Mutex<Connection>>>,
    /// Answers that are not in the file yet. Thousands may come within a second, from many threads: with a transaction for
    /// each, they would wait for each other longer than for the cache.
    unwritten: Mutex<Vec<Answer>>,
}

struct Answer {
    cache: String,
    name: String,
    time: i64,
    content: Option<String>,
}

/// How many new answers are kept in memory.
const MOST_UNWRITTEN: usize = 500;

/// The most that is kept of what a cache says of itself.
const CACHE_INFO_LIFETIME: i64 = 7 * DAY;

impl Lookups {
    /// Answers in this file, which is made when there are some.
    pub fn new(file: &Path, lifetimes: Lifetimes) -> Self {
        Self { file: file.to_owned(), lifetimes, connection: OnceLock::new(), unwritten: Mutex::default() }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        // If it cannot be made, opening the file says so.
        let _ = std::fs::create_dir_all(self.file.parent().unwrap_or(Path::new("/")));
        let connection = Connection::open(&self.file)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "off")?;
        connection.execute_batch(
            "create table if not exists Answers (
                cache text not null, name text not null, time integer not null, content text,
                primary key (cache, name)) without rowid",
        )?;
        purge(&connection, self.lifetimes)?;
        Ok(connection)
    }

    fn connection(&self) -> Option<MutexGuard<'_, Connection>> {
        let connection = self.connection.get_or_init(|| self.open().ok().map(Mutex::new)).as_ref()?;
        Some(connection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a cache has answered for a file: its content, or that there is none. `None` if that is not known, or old.
    pub(super) fn get(&self, cache: &str, name: &str) -> Option<Option<String>> {
        let connection = self.connection()?;
        let query = "select time, content from Answers where cache = ? and name = ?";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?));
        let mut query = connection.prepare_cached(query).ok()?;
        let (time, content) = query.query_row([cache, name], read).optional().ok()??;
        let lifetime = match &content {
            _ if name == super::CACHE_INFO => CACHE_INFO_LIFETIME,
            Some(_) => self.lifetimes.positive,
            None => self.lifetimes.negative,
        };
        // A time to come means that the clock was wrong.
        (0..lifetime).contains(&(now() - time)).then_some(content)
    }

    /// Keeps an answer, for other processes and later ones. Failing to is no error.
    pub(super) fn put(&self, cache: &str, name: &str, content: Option<&str>) {
        let content = content.map(str::to_owned);
        let answer = Answer { cache: cache.to_owned(), name: name.to_owned(), time: now(), content };
        let mut new = self.unwritten();
        new.push(answer);
        if new.len() >= MOST_UNWRITTEN {
            self.write(&mut new);
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, new: &mut Vec<Answer>) {
        if new.is_empty() {
            return;
        }
        let Some(mut connection) = self.connection() else { return };
        let insert = "insert or replace into Answers (cache, name, time, content) values (?, ?, ?, ?)";
        let mut write = || {
            let transaction = connection.transaction()?;
            let mut insert = transaction.prepare_cached(insert)?;
            for Answer { cache, name, time, content } in new.drain(..) {
                insert.execute(params![cache, name, time, content])?;
            }
            drop(insert);
            transaction.commit()
        };
        let _ = write();
    }

    /// Forgets an answer that has turned out to be old.
    pub(super) fn forget(&self, cache: &str, name: &str) {
        self.write(&mut self.unwritten());
        let Some(connection) = self.connection() else { return };
        let _ = connection.execute("delete from Answers where cache = ? and name = ?", [cache, name]);
    }

    /// Forgets all that a cache has answered: it has been written to.
    pub fn forget_cache(&self, cache: &str) {
        self.write(&mut self.unwritten());
        let Some(connection) = self.connection() else { return };
        let _ = connection.execute("delete from Answers where cache = ?", [cache]);
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        self.write(&mut self.unwritten());
    }
}

/// Once a day, deletes what is too old to count.
fn purge(connection: &Connection, lifetimes: Lifetimes) -> rusqlite::Result<()> {
    let today = now() / DAY;
    if connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? == today {
        return Ok(());
    }
    let oldest = now() - lifetimes.positive.max(CACHE_INFO_LIFETIME);
    let oldest_negative = now() - lifetimes.negative;
    let delete = "delete from Answers where time < ?1 or (content is null and time < ?2)";
    connection.execute(delete, [oldest, oldest_negative])?;
    connection.pragma_update(None, "user_version", today)
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_for_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("caches/answers.sqlite");
        let lookups = Lookups::new(&file, Lifetimes::default());
        assert_eq!(lookups.get("a", "x"), None);
        lookups.put("a", "x", Some("text"));
        lookups.put("a", "y", None);
        drop(lookups);
        let lookups = Lookups::new(&file, Lifetimes::default());
        assert_eq!(lookups.get("a", "x"), Some(Some("text".to_owned())));
        assert_eq!(lookups.get("a", "y"), Some(None));
        assert_eq!(lookups.get("b", "x"), None);
        lookups.forget("a", "x");
        assert_eq!(lookups.get("a", "x"), None);
        drop(lookups);
        let hasty = Lookups::new(&file, Lifetimes { negative: 0, ..Lifetimes::default() });
        assert_eq!(hasty.get("a", "y"), None);
    }

    #[test]
    fn a_file_that_is_no_database_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("answers.sqlite");
        std::fs::write(&file, "x".repeat(5000)).unwrap();
        let lookups = Lookups::new(&file, Lifetimes::default());
        lookups.put("a", "x", None);
        assert_eq!(lookups.get("a", "x"), None);
    }
}

//! The database of valid paths, in Nix's schema (`libstore/schema.sql` of C++ Nix).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix_formats::STORE_DIR;
use nix_formats::content_address::ContentAddress;
use nix_formats::derivation::Derivation;
use nix_formats::hash::Hash;
use nix_formats::store_path::StorePath;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::layout::Layout;
use crate::{PathInfo, StoreError};

const SCHEMA: &str = "
create table if not exists ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null,
    registrationTime integer not null,
    deriver          text,
    narSize          integer,
    ultimate         integer,
    sigs             text,
    ca               text
);
create table if not exists Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
);
create index if not exists IndexReferrer on Refs(referrer);
create index if not exists IndexReference on Refs(reference);
create trigger if not exists DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end;
create table if not exists DerivationOutputs (
    drv  integer not null,
    id   text not null,
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
);
create index if not exists IndexDerivationOutputs on DerivationOutputs(path);
";

/// How long a write waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(300);

const COLUMNS: &str = "id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca";

/// Makes an empty database.
pub(super) fn create(file: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Database { path: file.to_owned(), source };
    let connection = Connection::open(file).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
    connection.execute_batch(SCHEMA).map_err(failed)
}

/// The open database; one connection, used by one thread at a time.
pub(super) struct Database {
    file: PathBuf,
    connection: Mutex<Connection>,
}

impl Database {
    pub fn open(layout: &Layout) -> Result<Self, StoreError> {
        Self::open_patiently(layout, BUSY_TIMEOUT)
    }

    fn open_patiently(layout: &Layout, patience: Duration) -> Result<Self, StoreError> {
        let file = layout.db_file();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(&file, flags)?;
            connection.busy_timeout(patience)?;
            connection.set_prepared_statement_cache_capacity(32);
            connection.pragma_update(None, "foreign_keys", 1)?;
            // A lost last transaction is no harm: what it registered is made again.
            connection.pragma_update(None, "synchronous", "normal")?;
            // Each checkpoint waits for the disk. As with Nix, there is one when the last process closes the store.
            connection.pragma_update(None, "wal_autocheckpoint", 40_000)?;
            // Of a file that is no store's this is the place to say so.
            connection.prepare("select d.id from ValidPaths, Refs, DerivationOutputs d")?;
            Ok(connection)
        };
        let connection = open().map_err(|source| StoreError::Database { path: file.clone(), source })?;
        Ok(Self { file, connection: Mutex::new(connection) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic cannot leave the connection half used: transactions roll back when they are dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.file.clone(), source }
    }

    pub fn is_valid(&self, path: &StorePath) -> Result<bool, StoreError> {
        let connection = self.lock();
        let query =
            || connection.prepare_cached("select 1 from ValidPaths where path = ?")?.exists([path.to_absolute()]);
        query().map_err(|error| self.failed(error))
    }

    /// Those that are not valid, in one transaction: each has to lock the file.
    pub fn absent(&self, paths: &[StorePath]) -> Result<Vec<StorePath>, StoreError> {
        let mut connection = self.lock();
        let mut absent = Vec::new();
        let mut query = || {
            let transaction = connection.transaction()?;
            let mut query = transaction.prepare_cached("select 1 from ValidPaths where path = ?")?;
            for path in paths {
                if !query.exists([path.to_absolute()])? {
                    absent.push(path.clone());
                }
            }
            Ok(())
        };
        query().map_err(|error| self.failed(error))?;
        Ok(absent)
    }

    pub fn path_info(&self, path: &StorePath) -> Result<Option<PathInfo>, StoreError> {
        let connection = self.lock();
        let query = || {
            connection
                .prepare_cached(&format!("select {COLUMNS} from ValidPaths where path = ?"))?
                .query_row([path.to_absolute()], RawInfo::read)
                .optional()
        };
        let Some(raw) = query().map_err(|error| self.failed(error))? else { return Ok(None) };
        let references = "select path from Refs join ValidPaths on reference = id where referrer = ?";
        let references = self.paths(&connection, references, raw.id)?;
        raw.parse(references).map(Some)
    }

    pub fn path_from_hash_part(&self, hash_part: &str) -> Result<Option<StorePath>, StoreError> {
        let prefix = format!("{STORE_DIR}/{hash_part}");
        let connection = self.lock();
        let query = || {
            connection
                .prepare_cached("select path from ValidPaths where path >= ? limit 1")?
                .query_row([&prefix], |row| row.get::<_, String>(0))
                .optional()
        };
        match query().map_err(|error| self.failed(error))? {
            Some(path) if path.starts_with(&prefix) => parse_path(&path).map(Some),
            _ => Ok(None),
        }
    }

    pub fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        let query = "select path from Refs join ValidPaths on referrer = id \
                     where reference = (select id from ValidPaths where path = ?)";
        let mut referrers = self.paths(&self.lock(), query, path.to_absolute())?;
        referrers.remove(path);
        Ok(referrers)
    }

    pub fn valid_derivers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        let query = "select v.path from DerivationOutputs d join ValidPaths v on d.drv = v.id where d.path = ?";
        self.paths(&self.lock(), query, path.to_absolute())
    }

    pub fn all_paths(&self) -> Result<BTreeSet<StorePath>, StoreError> {
        self.paths(&self.lock(), "select path from ValidPaths where ? = 0", 0)
    }

    /// The objects registered at or after a time in seconds since 1970.
    pub fn registered_since(&self, time: i64) -> Result<BTreeSet<StorePath>, StoreError> {
        self.paths(&self.lock(), "select path from ValidPaths where registrationTime >= ?", time)
    }

    /// For each valid object the objects that it refers to, itself left out.
    pub fn reference_graph(&self) -> Result<BTreeMap<StorePath, BTreeSet<StorePath>>, StoreError> {
        let mut graph: BTreeMap<_, BTreeSet<_>> =
            self.all_paths()?.into_iter().map(|path| (path, BTreeSet::new())).collect();
        let connection = self.lock();
        let edges = || {
            let query = "select r.path, d.path from Refs join ValidPaths r on referrer = r.id \
                         join ValidPaths d on reference = d.id where referrer != reference";
            let mut statement = connection.prepare_cached(query)?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        for (referrer, reference) in edges().map_err(|error| self.failed(error))? {
            graph.entry(parse_path(&referrer)?).or_default().insert(parse_path(&reference)?);
        }
        Ok(graph)
    }

    fn paths(
        &self,
        connection: &Connection,
        query: &str,
        parameter: impl rusqlite::ToSql,
    ) -> Result<BTreeSet<StorePath>, StoreError> {
        let rows = || {
            let mut statement = connection.prepare_cached(query)?;
            let rows = statement.query_map([parameter], |row| row.get::<_, String>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        rows().map_err(|error| self.failed(error))?.iter().map(|path| parse_path(path)).collect()
    }

    /// Registers the objects, or what is new about those that are valid already.
    pub fn register(&self, infos: &[PathInfo], layout: &Layout) -> Result<(), StoreError> {
        let derivations = infos
            .iter()
            .filter(|info| info.path.is_derivation())
            .map(|info| read_derivation(&info.path, layout))
            .collect::<Result<Vec<_>, _>>()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let mut connection = self.lock();
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| self.failed(error))?;
        for info in infos {
            put_info(&transaction, info, now).map_err(|error| self.failed(error))?;
        }
        for info in infos {
            self.put_references(&transaction, info)?;
        }
        for (path, derivation) in &derivations {
            put_outputs(&transaction, path, derivation).map_err(|error| self.failed(error))?;
        }
        transaction.commit().map_err(|error| self.failed(error))
    }

    fn put_references(&self, transaction: &Transaction<'_>, info: &PathInfo) -> Result<(), StoreError> {
        let failed = |error| self.failed(error);
        let query = "insert or ignore into Refs (referrer, reference) \
                     select r.id, d.id from ValidPaths r, ValidPaths d where r.path = ? and d.path = ?";
        let mut insert = transaction.prepare_cached(query).map_err(failed)?;
        let mut exists = transaction.prepare_cached("select 1 from ValidPaths where path = ?").map_err(failed)?;
        let path = info.path.to_absolute();
        for reference in &info.references {
            let reference_path = reference.to_absolute();
            let added = insert.execute([&path, &reference_path]).map_err(failed)?;
            if added == 0 && !exists.exists([&reference_path]).map_err(failed)? {
                return Err(StoreError::MissingReference { path: info.path.clone(), reference: reference.clone() });
            }
        }
        Ok(())
    }

    pub fn set_signatures(&self, path: &StorePath, signatures: &BTreeSet<String>) -> Result<(), StoreError> {
        let connection = self.lock();
        let update = "update ValidPaths set sigs = ? where path = ?";
        match connection.execute(update, params![join(signatures), path.to_absolute()]) {
            Ok(0) => Err(StoreError::NotValid { path: path.clone() }),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub fn total_size(&self) -> Result<u64, StoreError> {
        let query = "select coalesce(sum(narSize), 0) from ValidPaths";
        let size = self.lock().query_row(query, [], |row| row.get::<_, i64>(0)).map_err(|error| self.failed(error))?;
        Ok(u64::try_from(size).unwrap_or(0))
    }

    /// For each output the valid derivations that make it.
    pub fn derivers(&self) -> Result<BTreeMap<StorePath, BTreeSet<StorePath>>, StoreError> {
        let connection = self.lock();
        let rows = || {
            let query = "select d.path, v.path from DerivationOutputs d join ValidPaths v on d.drv = v.id";
            let mut statement = connection.prepare_cached(query)?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut derivers: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (output, derivation) in rows().map_err(|error| self.failed(error))? {
            derivers.entry(parse_path(&output)?).or_default().insert(parse_path(&derivation)?);
        }
        Ok(derivers)
    }

    /// Makes objects invalid, in one transaction; no valid object outside of them may refer to one.
    pub fn invalidate<'a>(&self, paths: impl IntoIterator<Item = &'a StorePath>) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let delete = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.pragma_update(None, "defer_foreign_keys", 1)?;
            for path in paths {
                transaction.prepare_cached("delete from ValidPaths where path = ?")?.execute([path.to_absolute()])?;
            }
            transaction.commit()
        };
        delete().map_err(|error| self.failed(error))
    }

    /// The rows that tell of no object, since Nix would not have written them so: their numbers, and what is wrong.
    pub fn senseless_rows(&self) -> Result<Vec<(i64, String)>, StoreError> {
        let connection = self.lock();
        let rows = || {
            let mut statement = connection.prepare_cached(&format!("select {COLUMNS} from ValidPaths"))?;
            let rows = statement.query_map([], RawInfo::read)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = rows().map_err(|error| self.failed(error))?;
        let wrong = rows.into_iter().filter_map(|raw| {
            let id = raw.id;
            match raw.parse(BTreeSet::new()) {
                Err(StoreError::Corrupt { what }) => Some((id, what)),
                _ => None,
            }
        });
        Ok(wrong.collect())
    }

    /// Deletes rows by number, with those of all objects that refer to them.
    pub fn forget_rows(&self, ids: &[i64]) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let mut delete = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.pragma_update(None, "defer_foreign_keys", 1)?;
            let query = "delete from ValidPaths where id in (with recursive gone (id) as (select ?1 union \
                         select referrer from Refs join gone on reference = gone.id) select id from gone)";
            for id in ids {
                transaction.prepare_cached(query)?.execute([id])?;
            }
            transaction.commit()
        };
        delete().map_err(|error| self.failed(error))
    }

    /// SQLite's own check of the file: `None` if it is sound, else the first thing it says.
    pub fn integrity_problem(&self) -> Result<Option<String>, StoreError> {
        let connection = self.lock();
        let answer = connection.query_row("pragma integrity_check(1)", [], |row| row.get::<_, String>(0));
        let answer = answer.map_err(|error| self.failed(error))?;
        Ok((answer != "ok").then_some(answer))
    }
}

fn put_info(transaction: &Transaction<'_>, info: &PathInfo, now: i64) -> rusqlite::Result<()> {
    let insert = "insert into ValidPaths (path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca) \
                  values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) on conflict (path) do update set \
                  hash = ?2, narSize = ?5, ultimate = ?6, sigs = ?7, ca = ?8";
    transaction.prepare_cached(insert)?.execute(params![
        info.path.to_absolute(),
        info.nar_hash.to_prefixed_hex(),
        if info.registration_time == 0 { now } else { info.registration_time },
        info.deriver.as_ref().map(StorePath::to_absolute),
        (info.nar_size != 0).then_some(info.nar_size as i64),
        info.ultimate.then_some(1),
        join(&info.signatures),
        info.content_address.map(|address| address.to_string()),
    ])?;
    Ok(())
}

fn put_outputs(transaction: &Transaction<'_>, path: &StorePath, derivation: &Derivation) -> rusqlite::Result<()> {
    let insert = "insert or replace into DerivationOutputs (drv, id, path) \
                  values ((select id from ValidPaths where path = ?), ?, ?)";
    let mut insert = transaction.prepare_cached(insert)?;
    for (name, output) in derivation.output_paths() {
        if let Some(output) = output {
            insert.execute([&path.to_absolute(), name, &output.to_absolute()])?;
        }
    }
    Ok(())
}

fn read_derivation(path: &StorePath, layout: &Layout) -> Result<(StorePath, Derivation), StoreError> {
    let real_path = layout.real_path(path);
    let aterm = std::fs::read(&real_path).map_err(StoreError::io("read derivation", real_path))?;
    let name = path.derivation_name().unwrap_or_default();
    Ok((path.clone(), Derivation::parse(name, &aterm)?))
}

fn join(signatures: &BTreeSet<String>) -> Option<String> {
    if signatures.is_empty() {
        return None;
    }
    Some(signatures.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
}

/// A row of `ValidPaths`, as it stands there.
struct RawInfo {
    id: i64,
    path: String,
    hash: String,
    registration_time: i64,
    deriver: Option<String>,
    nar_size: Option<i64>,
    ultimate: Option<i64>,
    signatures: Option<String>,
    content_address: Option<String>,
}

impl RawInfo {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            path: row.get(1)?,
            hash: row.get(2)?,
            registration_time: row.get(3)?,
            deriver: row.get(4)?,
            nar_size: row.get(5)?,
            ultimate: row.get(6)?,
            signatures: row.get(7)?,
            content_address: row.get(8)?,
        })
    }

    fn parse(self, references: BTreeSet<StorePath>) -> Result<PathInfo, StoreError> {
        let corrupt = |what: &dyn std::fmt::Display| StoreError::Corrupt { what: format!("{}: {what}", self.path) };
        let deriver = self.deriver.as_deref().filter(|deriver| !deriver.is_empty());
        let content_address = self.content_address.as_deref().filter(|address| !address.is_empty());
        Ok(PathInfo {
            path: parse_path(&self.path)?,
            nar_hash: Hash::parse(&self.hash, None).map_err(|error| corrupt(&error))?,
            nar_size: u64::try_from(self.nar_size.unwrap_or(0)).map_err(|error| corrupt(&error))?,
            references,
            deriver: deriver.map(parse_path).transpose()?,
            registration_time: self.registration_time,
            ultimate: self.ultimate == Some(1),
            signatures: self.signatures.iter().flat_map(|list| list.split_whitespace()).map(str::to_owned).collect(),
            content_address: content_address.map(ContentAddress::parse).transpose().map_err(|error| corrupt(&error))?,
        })
    }
}

fn parse_path(path: &str) -> Result<StorePath, StoreError> {
    StorePath::from_absolute(path).map_err(|error| StoreError::Corrupt { what: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_that_keeps_the_database_is_named_a_way_to_be_found() {
        let place = tempfile::tempdir().unwrap();
        let store = crate::LocalStore::open(place.path()).unwrap();
        let layout = Layout::new(place.path()).unwrap();
        let other = Connection::open(layout.db_file()).unwrap();
        other.execute_batch("begin exclusive").unwrap();
        let database = Database::open_patiently(&layout, Duration::from_millis(50)).unwrap();
        let path = StorePath::from_absolute("/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-x").unwrap();
        let error = database.invalidate([&path]).unwrap_err().to_string();
        assert!(error.contains("is locked by another process") && error.contains("fuser -v '"), "{error}");
        other.execute_batch("rollback").unwrap();
        database.invalidate([&path]).unwrap();
        drop(store);
    }
}

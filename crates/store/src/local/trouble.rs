//! What is wrong with a database, and what to type next.

use std::path::Path;

use rusqlite::ErrorCode;

/// The end of a sentence that begins with "the store database 'FILE'".
pub(crate) fn describe(file: &Path, error: &rusqlite::Error) -> String {
    let directory = file.parent().unwrap_or(file).display();
    let anew =
        format!("to begin a new one, with which what is needed is made again: mv '{directory}' '{directory}.damaged'");
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => format!("is damaged ({error}); {anew}"),
        Some(ErrorCode::CannotOpen) if !file.exists() => format!("is missing; {anew}"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("is locked by another process ({error}); to see which: fuser -v '{}'", file.display())
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => format!(
            "cannot be written ({error}): it is another user's, or on a disk that is read-only; choose another store with \
             --store or WHARF_HOME"
        ),
        _ if lacks_tables(error) => format!("is no store's ({error}); {anew}"),
        _ => format!("failed: {error}"),
    }
}

fn lacks_tables(error: &rusqlite::Error) -> bool {
    let text = error.to_string();
    ["no such table", "no such column", "has no column"].iter().any(|part| text.contains(part))
}

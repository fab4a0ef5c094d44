//! What the codes of both databases mean to a caller.

/// What kind of failure it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Class {
    Lost,
    Damaged,
    Full,
    InTheWay,
    /// The constraint, or the sentence that names the columns.
    Unique(String),
    Refused,
}

pub(super) fn postgres(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(reported) if reported.is_unique_violation() => {
            Class::Unique(reported.constraint().unwrap_or_else(|| reported.message()).to_owned())
        }
        sqlx::Error::Database(reported) => sqlstate(&reported.code().unwrap_or_default()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed => Class::Lost,
        _ => Class::Refused,
    }
}

pub(super) fn sqlite(error: &rusqlite::Error) -> Class {
    match error {
        rusqlite::Error::SqliteFailure(code, sentence) => match result_code(code.extended_code) {
            Class::Unique(_) => Class::Unique(sentence.clone().unwrap_or_else(|| code.to_string())),
            class => class,
        },
        _ => Class::Refused,
    }
}

/// PostgreSQL's SQLSTATE. 25006 is a standby after a failover: connect again.
fn sqlstate(code: &str) -> Class {
    match code {
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25006" | "25P03" => Class::Lost,
        "53100" | "53200" => Class::Full,
        "40001" | "40P01" | "55P03" => Class::InTheWay,
        "XX001" | "XX002" => Class::Damaged,
        _ if code.starts_with("08") || code.starts_with("28") || code.starts_with("53") => Class::Lost,
        _ => Class::Refused,
    }
}

/// SQLite's extended result code; the lowest byte is the primary one.
fn result_code(code: i32) -> Class {
    match (code, code & 0xff) {
        (1555 | 2067 | 2579, _) => Class::Unique(String::new()), // PRIMARYKEY, UNIQUE, ROWID
        (_, 5 | 6) => Class::InTheWay,                           // BUSY, LOCKED
        (_, 8 | 10 | 14) => Class::Lost,                         // READONLY, IOERR, CANTOPEN
        (_, 13) => Class::Full,                                  // FULL
        (_, 11 | 26) => Class::Damaged,                          // CORRUPT, NOTADB
        _ => Class::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_sqlstates() {
        let check = |code: &str, expect: Class| assert_eq!(sqlstate(code), expect, "{code}");
        check("57P01", Class::Lost);
        check("08006", Class::Lost);
        check("53300", Class::Lost);
        check("53100", Class::Full);
        check("40001", Class::InTheWay);
        check("XX001", Class::Damaged);
        check("42601", Class::Refused);
        check("", Class::Refused);
    }

    #[test]
    fn sorts_result_codes() {
        let check = |code: i32, expect: Class| assert_eq!(result_code(code), expect, "{code}");
        check(5, Class::InTheWay);
        check(13, Class::Full);
        check(11, Class::Damaged);
        check(26, Class::Damaged);
        check(267, Class::Damaged); // CORRUPT_VTAB
        check(1034, Class::Lost); // IOERR_FSYNC
        check(2067, Class::Unique(String::new()));
        check(787, Class::Refused); // CONSTRAINT_FOREIGNKEY
        check(1, Class::Refused);
    }
}

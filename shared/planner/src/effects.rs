//! What statements leave behind that a rollback does not undo: commits inside a script, and the state of a session.

use shiftwork_protocol::{CommitCause, InnerCommit, SharedSession, Transaction};
use shiftwork_sql::{Lexer, Statement, TokenKind};

/// Returns the statements of a script that commit, or can commit, before the script has ended, in their order.
///
/// - `transaction: single`: `TRUNCATE`, unless it is the only statement, and a `CALL` that is the only statement. A
///   `CALL` among several statements cannot commit, because Redshift refuses COMMIT, ROLLBACK and TRUNCATE in a
///   procedure that is called in a transaction block.
/// - `transaction: per_statement`: each `CALL`, which can commit before it fails. `TRUNCATE` commits nothing but itself.
pub fn inner_commits(statements: &[Statement], transaction: Transaction) -> Vec<InnerCommit> {
    let alone = statements.len() == 1 || transaction == Transaction::PerStatement;
    let cause = |statement: &Statement| match first_word(statement).as_deref() {
        Some("TRUNCATE") if !alone => Some(CommitCause::Truncate),
        Some("CALL") if alone => Some(CommitCause::Call),
        Some(_) | None => None,
    };
    let commit = |(position, statement): (u32, &Statement)| {
        Some(InnerCommit { statement: position, line: statement.line, cause: cause(statement)? })
    };
    (1..).zip(statements).filter_map(commit).collect()
}

/// Returns the session that the statements of a script have to share; `None` if no statement leaves anything in its
/// session for the statements that follow.
pub(crate) fn shared_session(statements: &[Statement]) -> Option<SharedSession> {
    let before_the_last = &statements[..statements.len().saturating_sub(1)];
    let states: Vec<_> = before_the_last.iter().map(session_state).collect();
    let position_of = |state| (1..).zip(&states).find(|(_, found)| **found == state).map(|(position, _)| position);
    let state_from = position_of(SessionState::Certain);
    (state_from.is_some() || states.contains(&SessionState::Possible)).then_some(SharedSession { state_from })
}

/// What a statement leaves in its session for the statements that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionState {
    /// Nothing.
    Nothing,
    /// Possibly a temporary table, which a procedure can create.
    Possible,
    /// A setting, a temporary table or a prepared statement.
    Certain,
}

fn session_state(statement: &Statement) -> SessionState {
    match first_word(statement).as_deref() {
        Some("SET" | "RESET" | "PREPARE" | "DEALLOCATE" | "USE") => SessionState::Certain,
        Some("CALL") => SessionState::Possible,
        Some("CREATE" | "SELECT" | "WITH") if makes_temporary(&statement.text) => SessionState::Certain,
        Some("SELECT" | "WITH") if sets_configuration(&statement.text) => SessionState::Certain,
        Some(_) | None => SessionState::Nothing,
    }
}

/// The first word of the statement in upper case.
fn first_word(statement: &Statement) -> Option<String> {
    words(&statement.text).next()
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    Lexer::as_redshift(text)
        .map_while(Result::ok)
        .filter(|token| token.kind == TokenKind::Word)
        .map(|token| text[token.start..token.end].to_ascii_uppercase())
}

/// Returns true if the statement calls `SET_CONFIG`, which does what `SET` does (Redshift SQL reference, "SET_CONFIG").
fn sets_configuration(text: &str) -> bool {
    let mut follows_name = false;
    Lexer::as_redshift(text).map_while(Result::ok).any(|token| match token.kind {
        TokenKind::Space | TokenKind::Comment => false,
        TokenKind::Open => follows_name,
        TokenKind::Word
        | TokenKind::QuotedIdentifier
        | TokenKind::Number
        | TokenKind::Literal
        | TokenKind::Placeholder
        | TokenKind::Semicolon
        | TokenKind::Close
        | TokenKind::Dot
        | TokenKind::Other => {
            let written = text[token.start..token.end].trim_matches('"');
            follows_name = token.kind != TokenKind::Literal && written.eq_ignore_ascii_case("SET_CONFIG");
            false
        }
    })
}

/// Returns true if the statement creates a temporary table or view: by `TEMP` or `TEMPORARY`, or by a name that begins
/// with `#` (Redshift SQL reference, "CREATE TABLE").
fn makes_temporary(text: &str) -> bool {
    let mut before = String::new();
    let by_keyword = words(text).any(|word| {
        let found = matches!(word.as_str(), "TEMP" | "TEMPORARY")
            && matches!(before.as_str(), "CREATE" | "LOCAL" | "REPLACE" | "INTO");
        before = word;
        found
    });
    let mut after_hash = None;
    let by_name = Lexer::as_redshift(text).map_while(Result::ok).any(|token| {
        let written = &text[token.start..token.end];
        let found = match token.kind {
            TokenKind::QuotedIdentifier => written.starts_with("\"#"),
            TokenKind::Word => after_hash == Some(token.start),
            TokenKind::Space
            | TokenKind::Comment
            | TokenKind::Number
            | TokenKind::Literal
            | TokenKind::Placeholder
            | TokenKind::Semicolon
            | TokenKind::Open
            | TokenKind::Close
            | TokenKind::Dot
            | TokenKind::Other => false,
        };
        after_hash = (written == "#").then_some(token.end);
        found
    });
    by_keyword || by_name
}

#[cfg(test)]
mod tests {
    use shiftwork_sql::split;

    use super::*;

    #[test]
    fn the_statements_that_commit_inside_a_script_are_found() {
        use CommitCause::{Call, Truncate};
        use Transaction::{PerStatement, Single};
        type Case = (Transaction, &'static str, &'static [(u32, u32, CommitCause)]);
        let cases: &[Case] = &[
            (Single, "insert into a select 1", &[]),
            (Single, "insert into a select 1;\ntruncate b;\ninsert into b select 2", &[(2, 2, Truncate)]),
            (Single, "TRUNCATE TABLE b;\n-- why\n/* and */ truncate c", &[(1, 1, Truncate), (2, 3, Truncate)]),
            (Single, "truncate b", &[]),
            (Single, "select 'truncate'; select \"truncate\" from a; delete from truncate_log", &[]),
            (Single, "call load.orders(:day)", &[(1, 1, Call)]),
            (Single, "-- a comment\ncall p()", &[(1, 2, Call)]),
            (Single, "insert into a select 1; call p()", &[]),
            (Single, "create procedure p() as $$ begin truncate a; end; $$ language plpgsql; select 1", &[]),
            (PerStatement, "insert into a select 1;\ncall p();\ntruncate a;\ncall q()", &[(2, 2, Call), (4, 4, Call)]),
        ];
        for (transaction, sql, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(statement, line, cause)| InnerCommit { statement: *statement, line: *line, cause: *cause })
                .collect();
            assert_eq!(inner_commits(&split(sql).unwrap(), *transaction), expected, "{sql}");
        }
    }

    #[test]
    fn statements_that_leave_state_in_their_session_are_found() {
        use SessionState::{Certain, Nothing, Possible};
        for (sql, expected) in [
            ("set search_path to a", Certain),
            ("/* x */ reset search_path", Certain),
            ("set session authorization 'bob'", Certain),
            ("prepare p as select 1", Certain),
            ("create temp table t (a int)", Certain),
            ("create local temporary table t as select 1", Certain),
            ("create table #t (a int)", Certain),
            ("create table \"#t\" (a int)", Certain),
            ("select a into #t from b", Certain),
            ("select a, b, c, d, e, f, g into temp table t from b", Certain),
            ("with x as (select 1) select * into temporary t from x", Certain),
            ("select set_config('search_path', 'staging', false)", Certain),
            ("select pg_catalog.\"set_config\" /* x */ ('query_group', :day, true)", Certain),
            ("with x as (select 1) select SET_CONFIG('a', 'b', false) from x", Certain),
            ("select set_config, 'set_config(' from t", Nothing),
            ("select set_config from (select 1) t", Nothing),
            ("call p()", Possible),
            ("create table t (temp int)", Nothing),
            ("select temp from t", Nothing),
            ("insert into temp select 1", Nothing),
            ("create table temporary_things (a int)", Nothing),
            ("select '#t', 5 # 3 from a", Nothing),
            ("update t set a = 1", Nothing),
            ("vacuum t", Nothing),
        ] {
            assert_eq!(session_state(&split(sql).unwrap()[0]), expected, "{sql}");
        }
    }

    #[test]
    fn only_scripts_whose_statements_depend_on_their_session_share_one() {
        for (sql, expected) in [
            ("insert into a select 1; vacuum a", None),
            ("insert into a select 1; call p()", None),
            ("call p(); call q()", Some(None)),
            ("call p(); set a to b; select 1", Some(Some(2))),
            ("create temp table t (a int); set a to b; vacuum u", Some(Some(1))),
            ("select set_config('search_path', 'staging', false); delete from t", Some(Some(1))),
            ("", None),
        ] {
            let found = shared_session(&split(sql).unwrap());
            assert_eq!(found.map(|session| session.state_from), expected, "{sql}");
        }
        let session = SharedSession { state_from: Some(2) };
        assert!(!session.is_needed_by(2) && session.is_needed_by(3));
        assert!(!SharedSession { state_from: None }.is_needed_by(9));
    }
}

//! Identifiers: case folding, maximum length, reserved words.

use crate::refusal::Refusal;
use crate::tree::{Node, quoted};

/// Reserved words of Amazon Redshift ("Reserved words" in its SQL reference); they are not allowed as unquoted names.
const RESERVED: &str = " aes128 aes256 all allowoverwrite analyse analyze and any array as asc authorization az64 backup \
    between binary blanksasnull both bytedict bzip2 case cast check collate column constraint create credentials cross \
    current_date current_time current_timestamp current_user current_user_id default deferrable deflate defrag delta \
    delta32k desc disable distinct do else emptyasnull enable encode encrypt encryption end except explicit false for \
    foreign freeze from full globaldict256 globaldict64k grant group gzip having identity ignore ilike in initially inner \
    intersect interval into is isnull join leading left like limit localtime localtimestamp lun luns lzo lzop minus \
    mostly16 mostly32 mostly8 natural new not notnull null nulls off offline offset oid old on only open or order outer \
    overlaps parallel partition percent permissions pivot placing primary qualify raw readratio recover references \
    rejectlog resort respect restore right select session_user similar snapshot some sysdate system table tag tdes \
    text255 text32k then timestamp to top trailing true truncatecolumns union unique unnest unpivot user using verbose \
    wallet when where with without ";

/// Reserved words that are not part of the query syntax, so that in a query they must be unquoted names.
const NEVER_IN_QUERY: &str = " aes128 aes256 allowoverwrite az64 backup blanksasnull bytedict bzip2 credentials deflate \
    defrag delta delta32k disable emptyasnull enable encrypt encryption explicit globaldict256 globaldict64k gzip \
    identity lun luns lzo lzop mostly16 mostly32 mostly8 new off offline old open permissions raw readratio recover \
    rejectlog resort restore snapshot system tag tdes text255 text32k truncatecolumns wallet ";

/// Maximum length of a name in Amazon Redshift, in bytes.
const REDSHIFT_NAME_BYTES: usize = 127;
/// Maximum length of a name in PostgreSQL, in bytes (`NAMEDATALEN` - 1).
const POSTGRES_NAME_BYTES: usize = 63;

fn listed(list: &str, word: &str) -> bool {
    !word.contains(' ') && list.contains(&format!(" {} ", word.to_lowercase()))
}

/// True if a word in a query is a reserved word that was used as a name without quotes.
pub(crate) fn left_unquoted(word: &str) -> bool {
    listed(NEVER_IN_QUERY, word)
}

pub(crate) fn reserved(word: &str) -> bool {
    listed(RESERVED, word)
}

/// The folded name of the node; an error if Redshift does not allow the name or PostgreSQL would truncate it.
pub(crate) fn checked(node: &Node) -> Result<String, Refusal> {
    let Some(name) = node.name() else {
        return Err(Refusal::syntax(node.at(), format!("\"{}\"", node.shown()), "expected a name"));
    };
    if node.word().is_some_and(|w| reserved(&w)) {
        return Err(Refusal::not_redshift(node.at(), format!("the name {name}"), "it is a reserved word")
            .instead(format!("{} in double quotes", quoted(&name))));
    }
    length(&name, node.at())?;
    Ok(name)
}

/// Rejects names that are longer than the limit of Redshift or PostgreSQL; they would be truncated without an error.
pub(crate) fn length(name: &str, at: usize) -> Result<(), Refusal> {
    let bytes = name.len();
    if bytes > REDSHIFT_NAME_BYTES {
        return Err(Refusal::not_redshift(
            at,
            format!("the name {name}"),
            format!("it has {bytes} bytes; a name has at most {REDSHIFT_NAME_BYTES}"),
        ));
    }
    if bytes > POSTGRES_NAME_BYTES {
        return Err(Refusal::not_translated(
            at,
            format!("the name {name}"),
            format!("it has {bytes} bytes and PostgreSQL supports at most {POSTGRES_NAME_BYTES}"),
        ));
    }
    Ok(())
}

/// The quoted `schema.name` for PostgreSQL.
pub(crate) fn printed(parts: &[String]) -> String {
    parts.iter().map(|p| quoted(p)).collect::<Vec<_>>().join(".")
}

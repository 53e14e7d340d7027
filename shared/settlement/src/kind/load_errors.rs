//! Finds the files that the errors of a failed COPY are about.
//!
//! An error in a text file names `s3://bucket/key`. An error in a Parquet file names the URL that Redshift fetched the
//! file from,
//! `https://s3.<region>.amazonaws.com/<bucket>/<encoded key>`, in the message of the statement, which ends after 256
//! bytes.

use std::{borrow::Cow, collections::BTreeSet};

use percent_encoding::percent_decode_str;

/// Bytes of a file's name in a load error: `file_name` is CHAR(256).
const FILE_NAME: usize = 256;

/// Returns the file that a load error names. If the name was truncated, only one file may begin with it.
pub(crate) fn named<'a>(file: &str, urls: &'a [String]) -> Option<&'a String> {
    let url = url_of(file);
    let exactly = urls.iter().find(|known| **known == url);
    exactly.or_else(|| only(&url, urls).filter(|_| file.len() >= FILE_NAME))
}

/// Returns the files that the message of a statement names.
pub(crate) fn mentioned<'a>(message: &str, urls: &'a [String]) -> BTreeSet<&'a String> {
    let fetched: BTreeSet<_> = addresses(message)
        .filter_map(|address| {
            let url = url_of(address);
            urls.iter().find(|known| **known == url).or_else(|| only(&url, urls))
        })
        .collect();
    if !fetched.is_empty() {
        return fetched;
    }
    // A message with `a.csv.gz` also contains `a.csv`: skip a name that is a prefix of another name in the message.
    let present: BTreeSet<&String> = urls.iter().filter(|url| message.contains(*url)).collect();
    let longer = present.clone();
    let counts = |url: &&String| !longer.iter().any(|other| other != url && other.starts_with(url.as_str()));
    present.into_iter().filter(counts).collect()
}

/// Returns the file whose name begins with the text, if there is exactly one.
fn only<'a>(beginning: &str, urls: &'a [String]) -> Option<&'a String> {
    let mut found = urls.iter().filter(|url| url.starts_with(beginning));
    found.next().filter(|_| found.next().is_none())
}

/// Returns the URLs in a text, each up to its end or to the end of the text.
fn addresses(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| c.is_whitespace() || c == '\'' || c == '"';
    text.match_indices("https://s3").map(move |(at, _)| text[at..].split(ends).next().unwrap_or_default())
}

/// Converts the URL of a file to `s3://bucket/key`, without an incomplete escape sequence at its end.
fn url_of(name: &str) -> Cow<'_, str> {
    let path = name.strip_prefix("https://s3").and_then(|address| {
        let (host, path) = address.split_once('/')?;
        host.contains(".amazonaws.com").then_some(path)
    });
    let Some(path) = path else { return name.into() };
    let whole = match path.rfind('%') {
        Some(at) if path.len() - at < 3 => &path[..at],
        _ => path,
    };
    format!("s3://{}", percent_decode_str(whole).decode_utf8_lossy().trim_end_matches(char::REPLACEMENT_CHARACTER))
        .into()
}

#[cfg(test)]
mod tests {
    use super::{mentioned, named};

    #[test]
    fn a_file_is_found_by_its_truncated_name() {
        let long = format!("s3://landing/{}", "x".repeat(300));
        let urls = vec!["s3://landing/a.csv".to_owned(), format!("{long}1"), "s3://landing/b".repeat(30)];
        assert_eq!(named("s3://landing/a.csv", &urls), Some(&urls[0]));
        assert_eq!(named(&long[..256], &urls), Some(&urls[1]));
        assert_eq!(named("s3://landing/a", &urls), None, "a short name was not truncated");
        let twins = vec![format!("{long}1"), format!("{long}2")];
        assert_eq!(named(&long[..256], &twins), None, "the name may be that of either file");
    }

    #[test]
    fn only_whole_names_in_a_message_count() {
        let urls = ["s3://b/a.csv", "s3://b/a.csv.gz", "s3://b/c.csv"].map(String::from);
        let found: Vec<_> = mentioned("Detail: s3://b/a.csv.gz, record 3: bad", &urls).into_iter().collect();
        assert_eq!(found, [&urls[1]]);
    }

    #[test]
    fn a_parquet_file_is_found_by_its_url() {
        let urls = ["s3://b/in/day=1/ü 1.parquet", "s3://b/in/day=1/2.parquet", "s3://b/in/day=1/2.parquet.n"]
            .map(String::from);
        let address = "https://s3.eu-central-1.amazonaws.com/b/in/day%3D1/%C3%BC%201.parquet";
        assert_eq!(named(address, &urls), Some(&urls[0]));
        assert_eq!(named("https://s3.eu-central-1.amazonaws.com/b/in/day%3D1/", &urls), None);
        let of_column = "File 'https://s3.cn-north-1.amazonaws.com.cn/b/in/day%3D1/2.parquet' has an incompatible Parquet schema \
            for column 's3://b/in/day=1/2.parquet.n'";
        assert_eq!(mentioned(of_column, &urls).into_iter().collect::<Vec<_>>(), [&urls[1]]);
        for cut in [70, 73, 74, 75, 76, 79] {
            let message =
                format!("Table columns: 20, Data columns: 16, File name: {}", &address[..cut.min(address.len())]);
            assert_eq!(mentioned(&message, &urls).into_iter().next(), (cut > 64).then_some(&urls[0]), "{message}");
        }
        let message = "File name: https://s3.eu-central-1.amazonaws.com/b/in/day%3";
        assert!(mentioned(message, &urls).is_empty(), "the name may be that of several files");
    }
}

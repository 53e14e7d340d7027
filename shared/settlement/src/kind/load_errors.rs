//! Which of its files a failed COPY means.
//!
//! A load of text names `s3://bucket/key`. A load of Parquet names the address that it fetched the file from,
//! `https://s3.<region>.amazonaws.com/<bucket>/<key, encoded>`, and the message of its statement is cut after 256 bytes.

use std::{borrow::Cow, collections::BTreeSet};

use percent_encoding::percent_decode_str;

/// Bytes that a load error keeps of a file's name: `file_name` is CHAR(256).
const FILE_NAME: usize = 256;

/// The file that a load error means. One whose name was cut is known only if no other begins so.
pub(crate) fn named<'a>(file: &str, urls: &'a [String]) -> Option<&'a String> {
    let url = url_of(file);
    let exactly = urls.iter().find(|known| **known == url);
    exactly.or_else(|| only(&url, urls).filter(|_| file.len() >= FILE_NAME))
}

/// The files whose names stand in the message of a statement.
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
    // `a.csv` stands in `a.csv.gz`, too: a name that is the beginning of another that stands there does not count.
    let present: BTreeSet<&String> = urls.iter().filter(|url| message.contains(*url)).collect();
    let longer = present.clone();
    let counts = |url: &&String| !longer.iter().any(|other| other != url && other.starts_with(url.as_str()));
    present.into_iter().filter(counts).collect()
}

/// The one file whose name begins so.
fn only<'a>(beginning: &str, urls: &'a [String]) -> Option<&'a String> {
    let mut found = urls.iter().filter(|url| url.starts_with(beginning));
    found.next().filter(|_| found.next().is_none())
}

/// The addresses in a text, each as far as it stands there.
fn addresses(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| c.is_whitespace() || c == '\'' || c == '"';
    text.match_indices("https://s3").map(move |(at, _)| text[at..].split(ends).next().unwrap_or_default())
}

/// `s3://bucket/key` of a name, without what a cut left half.
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
    fn a_file_is_found_by_its_name_even_if_redshift_cut_it() {
        let long = format!("s3://landing/{}", "x".repeat(300));
        let urls = vec!["s3://landing/a.csv".to_owned(), format!("{long}1"), "s3://landing/b".repeat(30)];
        assert_eq!(named("s3://landing/a.csv", &urls), Some(&urls[0]));
        assert_eq!(named(&long[..256], &urls), Some(&urls[1]));
        assert_eq!(named("s3://landing/a", &urls), None, "a short name was not cut");
        let twins = vec![format!("{long}1"), format!("{long}2")];
        assert_eq!(named(&long[..256], &twins), None, "either may be meant");
    }

    #[test]
    fn a_message_blames_whole_names_only() {
        let urls = ["s3://b/a.csv", "s3://b/a.csv.gz", "s3://b/c.csv"].map(String::from);
        let blamed: Vec<_> = mentioned("Detail: s3://b/a.csv.gz, record 3: bad", &urls).into_iter().collect();
        assert_eq!(blamed, [&urls[1]]);
    }

    #[test]
    fn the_address_of_a_parquet_file_is_its_name() {
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
        assert!(mentioned(message, &urls).is_empty(), "any of them may be meant");
    }
}

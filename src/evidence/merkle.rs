//! The Merkle tree hash of RFC 6962, section 2.1: one root over all lines of a journal. Pure.
//!
//! A leaf is a line's bytes without its newline. The root changes when a line is changed, removed,
//! added or moved, and other people's tools compute the same.

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The complete lines of a journal; what follows the last newline is a torn line and no leaf.
pub fn leaves(journal: &[u8]) -> Vec<&[u8]> {
    let whole = journal.iter().rposition(|b| *b == b'\n').map_or(&journal[..0], |at| &journal[..at]);
    if whole.is_empty() { Vec::new() } else { whole.split(|b| *b == b'\n').collect() }
}

/// The root over these leaves; over none it is the hash of nothing.
pub fn root(leaves: &[&[u8]]) -> Hash {
    let mut level: Vec<Hash> = leaves.iter().map(|l| hash(&[&[0], l])).collect();
    if level.is_empty() {
        return hash(&[]);
    }
    // RFC 6962 splits at the largest power of two; hashing pairs upwards and carrying an odd one
    // over gives the same tree
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => hash(&[&[1], left, right]),
                odd => odd[0],
            })
            .collect();
    }
    level[0]
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut sha = Context::new(&SHA256);
    for part in parts {
        sha.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(sha.finish().as_ref());
    out
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Hash {
    hash(&[bytes])
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // the roots of the eight trees that Certificate Transparency's reference test data names
    const LEAVES: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_roots_are_those_of_the_reference_trees() {
        for (n, wanted) in ROOTS.iter().enumerate() {
            assert_eq!(hex(&root(&LEAVES[..=n])), *wanted, "{} leaves", n + 1);
        }
        assert_eq!(hex(&root(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_torn_line_is_no_leaf() {
        assert_eq!(leaves(b"a\nb\nto"), [b"a", b"b"]);
        assert_eq!(leaves(b"to"), [] as [&[u8]; 0]);
        assert_eq!(leaves(b""), [] as [&[u8]; 0]);
        assert_eq!(leaves(b"a\n\nb\n"), [&b"a"[..], b"", b"b"]);
    }
}

//! What typst sees of the world: one source, some files in memory, the fonts in this binary. Pure.
//!
//! There is no disk, no network, no package and no today behind it.

use std::collections::HashMap;
use std::sync::LazyLock;

use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt as _, World};

use super::Letters;
use super::paper::MAY_BREAK;

/// The families that text may be set in; `report.typ` names them in this order.
const FAMILIES: [&str; 3] = ["Libertinus Serif", "DejaVu Sans Mono", "New Computer Modern"];

/// The fonts in this binary, and which characters they have.
pub(super) struct Fonts {
    fonts: Vec<Font>,
    book: LazyHash<FontBook>,
}

impl Fonts {
    /// The fonts; read once.
    pub(super) fn get() -> &'static Self {
        static FONTS: LazyLock<Fonts> = LazyLock::new(|| {
            let fonts: Vec<Font> =
                typst_assets::fonts().flat_map(|data| Font::iter(Bytes::new(data))).collect();
            let book = LazyHash::new(FontBook::from_fonts(&fonts));
            Fonts { fonts, book }
        });
        &FONTS
    }

    /// The text with every character that cannot be printed written as its number: `[U+5C71]`.
    ///
    /// PDF/A allows neither characters without a glyph nor those of private use, and a name must not
    /// keep a report from being made.
    pub(super) fn spelled(&self, text: &str, letters: Letters) -> String {
        let spell = |c: char| {
            let known = c.is_ascii() || c == MAY_BREAK || (letters == Letters::Known && self.has(c));
            if known { c.to_string() } else { format!("[U+{:04X}]", u32::from(c)) }
        };
        text.chars().map(spell).collect()
    }

    fn has(&self, c: char) -> bool {
        // marks that join the character before: the pair would need a glyph of its own
        let joins = matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe2f}');
        let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
        !joins && !private && self.covered(c)
    }

    fn covered(&self, c: char) -> bool {
        FAMILIES.iter().any(|family| {
            self.book
                .select_family(&family.to_lowercase())
                .filter_map(|index| self.book.info(index))
                .any(|info| info.coverage.contains(u32::from(c)))
        })
    }
}

/// One document with what it may read.
pub(super) struct Place {
    library: LazyHash<Library>,
    fonts: &'static Fonts,
    main: Source,
    files: HashMap<FileId, Bytes>,
}

impl Place {
    /// A place with this document and no file.
    pub(super) fn new(fonts: &'static Fonts, source: &str) -> Self {
        Self {
            library: LazyHash::new(Library::default()),
            fonts,
            main: Source::new(id("report.typ"), source.to_owned()),
            files: HashMap::new(),
        }
    }

    /// Puts a file there. Names are ours, never from a record: typst interns them for good.
    pub(super) fn add(&mut self, name: &str, bytes: Bytes) {
        self.files.insert(id(name), bytes);
    }
}

fn id(name: &str) -> FileId {
    let path = VirtualPath::new(name).expect("BUG: our own names are paths");
    RootedPath::new(VirtualRoot::Project, path).intern()
}

impl World for Place {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &self.fonts.book
    }

    fn main(&self) -> FileId {
        self.main.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.main.id() { Ok(self.main.clone()) } else { Err(FileError::AccessDenied) }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        self.files.get(&id).cloned().ok_or(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.fonts.fonts.get(index).cloned()
    }

    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        None
    }
}

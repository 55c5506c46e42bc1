//! Which pages a document has, those that cannot be read included: a page keeps its number when one before it is broken.

use std::collections::HashSet;

use hayro::hayro_syntax::Pdf;
use hayro::hayro_syntax::object::{Array, Dict, MaybeRef, Name, ObjectIdentifier};

/// For each page of the document its place in `pdf.pages()`, which leaves out those that it cannot find.
pub(super) fn pages(pdf: &Pdf) -> Vec<Option<usize>> {
    let found = pdf.pages().len();
    match walk(pdf) {
        Some(pages) if pages.iter().flatten().count() == found => pages,
        // The tree is broken itself: these are what was found by looking through the whole file.
        _ => (0..found).map(Some).collect(),
    }
}

/// The leaves of the page tree, in order, as `pdf.pages()` walks it.
fn walk(pdf: &Pdf) -> Option<Vec<Option<usize>>> {
    let catalog: Dict<'_> = pdf.xref().get(pdf.xref().root_id())?;
    let root: Dict<'_> = catalog.get("Pages")?;
    let mut seen: HashSet<ObjectIdentifier> = root.obj_id().into_iter().collect();
    let mut stack = vec![root.get::<Array<'_>>("Kids")?.raw_iter()];
    let mut pages = Vec::new();
    let mut found = 0..;
    while let Some(kids) = stack.last_mut() {
        let Some(kid) = kids.next() else {
            stack.pop();
            continue;
        };
        let kid: Option<Dict<'_>> = match kid {
            MaybeRef::Ref(reference) => {
                if !seen.insert(reference.into()) {
                    continue;
                }
                pdf.xref().get(reference.into())
            }
            MaybeRef::NotRef(object) => object.into_dict(),
        };
        let Some(kid) = kid else {
            pages.push(None);
            continue;
        };
        match kid.get::<Name<'_>>("Type").as_deref() {
            Some(b"Pages") => stack.extend(kid.get::<Array<'_>>("Kids").map(|kids| kids.raw_iter())),
            _ => pages.push(found.next()),
        }
    }
    Some(pages)
}

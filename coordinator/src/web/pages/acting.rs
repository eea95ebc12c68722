//! Who acts: the one place that names the person behind a form.

/// The name that decisions asked for on a page carry into the log.
pub(super) fn name() -> String {
    "page".to_owned()
}

/// What the form's hidden field holds, so that no other site's form acts in a person's name.
pub(super) const fn token() -> &'static str {
    ""
}

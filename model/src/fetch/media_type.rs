//! What is said of content, before anybody looks at it.

/// What a file name's extension says about the content.
pub(super) fn media_type_by_extension(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" | "jpe" | "jfif" => "image/jpeg",
        "png" | "apng" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "bmp" | "dib" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "avif" => "image/avif",
        "heic" | "heif" => "image/heic",
        "svg" => "image/svg+xml",
        "txt" | "text" => "text/plain",
        "md" | "markdown" => "text/markdown",
        "csv" => "text/csv",
        "htm" | "html" => "text/html",
        "json" | "jsonl" => "application/json",
        "pdf" => "application/pdf",
        "mp4" | "m4v" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "avi" => "video/x-msvideo",
        "mpg" | "mpeg" => "video/mpeg",
        "ogv" => "video/ogg",
        "flv" => "video/x-flv",
        "wmv" => "video/x-ms-wmv",
        "3gp" => "video/3gpp",
        _ => return None,
    })
}

/// A media type that says nothing (`application/octet-stream` and its kin) gives way to the extension.
pub(super) fn media_type_or_extension(media_type: Option<&str>, path: &str) -> Option<String> {
    let says_something = |media_type: &&str| {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        !essence.is_empty()
            && ![
                "application/octet-stream",
                "binary/octet-stream",
                "application/x-binary",
            ]
            .iter()
            .any(|vague| essence.eq_ignore_ascii_case(vague))
    };
    match media_type.filter(says_something) {
        Some(media_type) => Some(media_type.to_ascii_lowercase()),
        None => media_type_by_extension(path).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vague_media_type_gives_way_to_the_extension() {
        assert_eq!(
            media_type_or_extension(Some("image/PNG"), "/a.jpg").as_deref(),
            Some("image/png")
        );
        assert_eq!(
            media_type_or_extension(Some("application/octet-stream"), "/a.JPG").as_deref(),
            Some("image/jpeg")
        );
        assert_eq!(media_type_or_extension(None, "/v1.0/cat").as_deref(), None);
    }
}

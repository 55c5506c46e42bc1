//! References and media that give no vector, and some that look as if.

use std::os::unix::fs::symlink;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::ImageFormat;

use crate::images::{black_png, file, gif_claiming, picture, png_with_profile, tiff_claiming, webp_claiming_much};
use crate::kinds::{End, Kind, medium, refused};
use crate::web::Web;

/// Files below `folder`, the job's folder; `folder` lies in a folder where a `secret.png` lies too.
pub fn files(folder: &Path) -> Vec<Kind> {
    let file = |name: &str, bytes: &[u8]| file(folder, name, bytes);
    let jpeg = picture(ImageFormat::Jpeg);
    let png = picture(ImageFormat::Png);
    symlink("../secret.png", folder.join("link.png")).expect("a link");
    let pipe = folder.join("pipe.png");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is there").success());
    std::fs::create_dir(folder.join("folder.png")).expect("a new folder");
    let at = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    vec![
        refused(
            "truncated-jpeg",
            &file("cut.jpg", &jpeg[..jpeg.len() / 2]),
            "corrupt",
            "ends too early",
        ),
        refused(
            "truncated-png",
            &file("cut.png", &png[..png.len() / 2]),
            "corrupt",
            "unexpected end of file",
        ),
        refused("no-bytes", &file("none.jpg", b""), "corrupt", "it is empty"),
        refused(
            "zeros",
            &file("zeros.jpg", &[0; 1000]),
            "corrupt",
            "it should be image/jpeg, but is unknown content (it begins with 00 00",
        ),
        refused(
            "elf",
            &file("elf.png", b"\x7fELF\x02\x01\x01\0\0\0\0\0"),
            "corrupt",
            "it should be image/png, but is unknown content (it begins with 7f 45 4c 46",
        ),
        refused(
            "svg",
            &file("a.svg", b"<svg xmlns='x'/>"),
            "unsupported",
            "it is image/svg+xml",
        ),
        refused(
            "heic",
            &file("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
            "unsupported",
            "it is image/heic",
        ),
        refused(
            "bomb-png",
            &file("bomb.png", &black_png(50_000, 50_000)),
            "too_large",
            "50000 x 50000 pixels; the limit is 100000000 pixels",
        ),
        refused(
            "bomb-gif",
            &file("bomb.gif", &gif_claiming(50_000)),
            "too_large",
            "50000 x 50000 pixels",
        ),
        refused(
            "bomb-webp",
            &file("bomb.webp", &webp_claiming_much()),
            "too_large",
            "16383 x 16383 pixels",
        ),
        refused(
            "bomb-tiff",
            &file("bomb.tiff", &tiff_claiming(50_000)),
            "too_large",
            "50000 x 50000 pixels",
        ),
        refused(
            "long-side",
            &file("long.png", &black_png(100_000, 1_001)),
            "too_large",
            "100000 x 1001 pixels; the limit is 100000000 pixels",
        ),
        // What no decoder needs to unfold is not unfolded.
        medium(
            "bomb-profile",
            &file("profile.png", &png_with_profile(300 << 20)),
            End::Arrives,
        ),
        medium("long-and-thin", &file("thin.png", &black_png(100_000, 1)), End::Arrives),
        medium(
            "extreme-aspect",
            &file("aspect.png", &black_png(30, 6_300)),
            End::Arrives,
        ),
        medium("one-pixel", &file("one.png", &black_png(1, 1)), End::Arrives),
        medium("wrong-extension", &file("jpeg.png", &jpeg), End::Arrives),
        refused("missing-file", &at("missing.png"), "not_found", "No such file"),
        refused("path-escape", &at("../secret.png"), "not_allowed", "--allow-directory"),
        refused(
            "path-escape-relative",
            "../secret.png",
            "not_allowed",
            "--allow-directory",
        ),
        refused(
            "path-escape-url",
            "file:///etc/passwd",
            "not_allowed",
            "--allow-directory",
        ),
        refused(
            "link-escape",
            &at("link.png"),
            "not_allowed",
            "a symbolic link in it leads outside of what is allowed",
        ),
        refused("process", "/proc/self/environ", "not_allowed", "--allow-directory"),
        refused("directory", &at("folder.png"), "unsupported", "it is a directory"),
        refused("pipe", &at("pipe.png"), "unsupported", "it is a named pipe"),
        refused("device", "/dev/zero", "not_allowed", "--allow-directory"),
    ]
}

/// References that are none.
pub fn references() -> Vec<Kind> {
    let invalid = |name, url: &str, reason: &str| refused(name, url, "invalid_reference", reason);
    vec![
        invalid("empty-url", "", "\"\": not a media reference: it is empty"),
        invalid("unknown-scheme", "ftp://h/a.png", "the scheme `ftp` is not supported"),
        invalid("no-host", "http://", "empty host"),
        invalid("no-comma", "data:text/plain", "a data: URL needs a comma"),
        invalid("bad-base64", "data:image/png;base64,a*b", "its base64 does not decode"),
        invalid("steered-account", "az://media@evil/cat.png", "name of a bucket alone"),
        refused("text-of-nothing", "data:,", "text", "it is empty"),
        refused(
            "part-of-an-image",
            &format!(
                "data:image/gif;base64,{}#page=2",
                BASE64_STANDARD.encode(picture(ImageFormat::Gif))
            ),
            "unsupported",
            "an image has no page",
        ),
    ]
}

/// What web servers give. `web` may be reached; `inner` has an address that is not allowed.
pub fn web(web: &Web, inner: &Web, tls: &Web) -> Vec<Kind> {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = closed.local_addr().expect("a bound socket");
    drop(closed);
    vec![
        medium("second-time", &web.url("second-time.jpg"), End::Arrives),
        refused(
            "html-as-jpeg",
            &web.url("page.jpg"),
            "corrupt",
            "it should be image/jpeg, but is a web page",
        ),
        refused(
            "not-found",
            &web.url("nothing.jpg?X-Amz-Signature=s3cret"),
            "not_found",
            "HTTP status 404",
        ),
        refused("gone", &web.url("gone.jpg"), "not_found", "HTTP status 410"),
        refused(
            "forbidden",
            &web.url("forbidden.jpg").replace("http://", "http://me:s3cret@"),
            "denied",
            "HTTP status 403",
        ),
        refused("busy-for-ever", &web.url("busy.jpg"), "http_status", "HTTP status 429"),
        refused(
            "broken-for-ever",
            &web.url("broken.jpg"),
            "http_status",
            "HTTP status 500",
        ),
        refused(
            "cut-short",
            &web.url("cut.jpg"),
            "unavailable",
            "end of file before message length reached",
        ),
        refused("slow", &web.url("slow.jpg"), "timeout", "not complete after"),
        refused(
            "endless",
            &web.url("endless.jpg"),
            "too_large",
            "more than the limit of 4194304 bytes",
        ),
        refused(
            "circle",
            &web.url("circle.jpg"),
            "unsupported",
            "it redirects in a circle",
        ),
        refused(
            "many-redirects",
            &web.url("chain/0"),
            "unsupported",
            "it redirects more than 5 times",
        ),
        refused(
            "redirect-inside",
            &web.url(&format!("to/http://{}/good.jpg", inner.address)),
            "not_allowed",
            "127.0.0.2 is a loopback address; --allow-network 127.0.0.2/32 would allow it",
        ),
        refused(
            "redirect-to-metadata",
            &web.url("to/http://169.254.169.254/latest/meta-data/"),
            "not_allowed",
            "169.254.169.254 is the address of a cloud's metadata service",
        ),
        refused(
            "redirect-to-file",
            &web.url("to/file:///etc/passwd"),
            "unsupported",
            "only http and https",
        ),
        refused(
            "inside",
            &inner.url("good.jpg"),
            "not_allowed",
            "127.0.0.2 is a loopback address",
        ),
        refused(
            "private",
            "http://192.168.1.1/a.jpg",
            "not_allowed",
            "a private address",
        ),
        refused(
            "self-signed",
            &format!("https://{}/good.jpg", tls.address),
            "tls",
            "UnknownIssuer",
        ),
        refused(
            "nobody-there",
            &format!("http://{nobody}/a.jpg"),
            "unavailable",
            "refused",
        ),
        refused(
            "unknown-host",
            "http://no-such-host.invalid/a.jpg",
            "unavailable",
            "failed to lookup address",
        ),
    ]
}

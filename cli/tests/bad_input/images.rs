//! Images that are not what they seem.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::Crc;
use flate2::write::ZlibEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// A small picture in this format.
pub fn picture(format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(56, 84, |x, y| Rgb([(x * 4) as u8, (y * 3) as u8, 90]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image)
        .write_to(&mut bytes, format)
        .expect("a picture can be written to memory");
    bytes.into_inner()
}

/// A black picture of one bit a pixel, all of it there: a few kilobytes that unfold to `width * height / 8` bytes.
pub fn black_png(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([1, 0, 0, 0, 0]);
    let row = 1 + u64::from(width.div_ceil(8));
    let data = deflated_zeros(row * u64::from(height));
    png(&[(b"IHDR", &header), (b"IDAT", &data), (b"IEND", &[])])
}

/// A picture with a colour profile of `bytes` zeros, compressed.
pub fn png_with_profile(bytes: u64) -> Vec<u8> {
    let picture = picture(ImageFormat::Png);
    let mut profile = b"bomb\0\0".to_vec();
    profile.extend(deflated_zeros(bytes));
    // After the signature and IHDR.
    let (head, rest) = picture.split_at(33);
    [head, &chunk(b"iCCP", &profile), rest].concat()
}

/// A GIF whose screen and frame claim this side.
pub fn gif_claiming(side: u16) -> Vec<u8> {
    let mut gif = picture(ImageFormat::Gif);
    let sides = [side.to_le_bytes(), side.to_le_bytes()].concat();
    gif[6..10].copy_from_slice(&sides);
    let frame = gif.iter().position(|&byte| byte == 0x2C).expect("a frame");
    gif[frame + 5..frame + 9].copy_from_slice(&sides);
    gif
}

/// A lossless WebP that claims 16,383 x 16,383 pixels.
pub fn webp_claiming_much() -> Vec<u8> {
    let mut webp = picture(ImageFormat::WebP);
    let header = webp
        .windows(4)
        .position(|four| four == b"VP8L")
        .expect("a lossless image")
        + 9;
    // 14 bits of the width less one, as many of the height, and four others.
    let others = webp[header + 3] & 0xF0;
    let sides: u32 = 0x3FFE | 0x3FFE << 14;
    webp[header..header + 4].copy_from_slice(&sides.to_le_bytes());
    webp[header + 3] |= others;
    webp
}

/// A TIFF that claims this side.
pub fn tiff_claiming(side: u32) -> Vec<u8> {
    let mut tiff = picture(ImageFormat::Tiff);
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | usize::from(byte))
    };
    assert_eq!(&tiff[..4], b"II*\0", "little-endian");
    let directory = number(&tiff[4..8]);
    for entry in 0..number(&tiff[directory..directory + 2]) {
        let entry = directory + 2 + 12 * entry;
        // Width, height, and the rows of a strip.
        if [256, 257, 278].contains(&number(&tiff[entry..entry + 2])) {
            // As a LONG, whatever it was.
            tiff[entry + 2] = 4;
            tiff[entry + 8..entry + 12].copy_from_slice(&side.to_le_bytes());
        }
    }
    tiff
}

/// Writes `bytes` into `folder`, and gives the path.
pub fn file(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("the folder can be written to");
    path.to_str().expect("UTF-8").to_owned()
}

fn deflated_zeros(count: u64) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    std::io::copy(&mut std::io::repeat(0).take(count), &mut encoder).expect("memory takes it");
    encoder.flush().expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(chunks.iter().flat_map(|(kind, data)| chunk(kind, data)));
    png
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut checksum = Crc::new();
    checksum.update(kind);
    checksum.update(data);
    let length = u32::try_from(data.len()).expect("a short chunk");
    [&length.to_be_bytes()[..], kind, data, &checksum.sum().to_be_bytes()].concat()
}

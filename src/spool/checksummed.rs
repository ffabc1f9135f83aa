//! Small files of text: a line of JSON, and its CRC32C in hexadecimal in the next. The line, its version included,
//! is believed only when the checksum is right.

/// Returns `json` with its checksum.
pub fn with_checksum(json: &str) -> Vec<u8> {
    format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes())).into_bytes()
}

/// Returns the line that was given to [`with_checksum`], or the mistake in `text`.
pub fn checked(text: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
    let mut lines = text.lines();
    let json = lines.next().ok_or("empty")?;
    let sum = lines.next().ok_or("the checksum is missing")?;
    if u32::from_str_radix(sum, 16) != Ok(crc32c::crc32c(json.as_bytes())) {
        return Err("the checksum does not match");
    }
    Ok(json)
}

//! Memory of this host.

use crate::units::Size;

/// Memory that programs can still have, without swap; `None` where the kernel does not say.
pub fn free() -> Option<Size> {
    std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| field(&text, "MemAvailable"))
}

/// Memory that programs can still have, swap included.
pub fn free_with_swap() -> Option<Size> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let swap = field(&text, "SwapFree").unwrap_or(Size::bytes(0));
    let free = field(&text, "MemAvailable")?;
    Some(Size::bytes(free.as_bytes() + swap.as_bytes()))
}

/// A line of `/proc/meminfo`: `MemAvailable:   15941352 kB`.
pub(crate) fn field(text: &str, name: &str) -> Option<Size> {
    let value = |line: &str| {
        let kib = line
            .strip_prefix(name)?
            .strip_prefix(':')?
            .trim()
            .strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()
    };
    text.lines()
        .find_map(value)
        .map(|kib| Size::bytes(kib << 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let text = "MemTotal:       24683520 kB\nMemAvailable:   15941352 kB\nSwapFree:  8 kB\nHugePages_Free: 3\n";
        assert_eq!(
            field(text, "MemAvailable"),
            Some(Size::bytes(15_941_352 << 10))
        );
        assert_eq!(field(text, "SwapFree"), Some(Size::bytes(8 << 10)));
        assert_eq!(
            (field(text, "HugePages_Free"), field(text, "Mem")),
            (None, None)
        );
        assert!(free().unwrap() > Size::mib(1));
    }
}

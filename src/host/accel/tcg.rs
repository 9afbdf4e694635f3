//! QEMU's translator, which plays any processor on any host, slowly.

use super::Backend;

pub(super) const BACKEND: Backend = Backend {
    name: "tcg",
    emulated: true,
    time_factor: 6,
    libvirt_type: "qemu",
    libvirt_cpu: |arch| match arch.translated_cpu {
        "max" => vec![("mode", "maximum"), ("check", "none")],
        model => vec![("mode", "custom"), ("check", "none"), ("model", model)],
    },
    qemu: "tcg,thread=multi",
    qemu_cpu: |arch| arch.translated_cpu,
    guestfs: Some(c"force_tcg"),
    device: None,
    probe: None,
};

//! The live test behind each row: what shows on a real kernel, with real programs, that it works.

/// What a row is called, and its tests as `binary::test`, the first being the one that shows most. They are run with
/// `cargo xtask test`.
const TESTS: [(&str, &[&str]); 13] = [
    (
        "privileges",
        &[
            "privileges::each_process_has_its_capabilities_and_no_more",
            "privileges::without_sys_admin_the_start_names_it",
        ],
    ),
    ("kernel", &["kernel::every_program_passes_the_verifier"]),
    (
        "wire tap",
        &[
            "wire::text_of_every_size_is_inspected_to_its_last_byte",
            "badinput::without_cgroup_v2_it_is_named",
        ],
    ),
    ("program loading", &["kernel::the_doctor_says_what_this_kernel_cannot_do"]),
    (
        "TLS tap",
        &[
            "tls::writes_of_every_size_and_cipher_are_inspected_to_their_last_byte",
            "cleanup::nothing_is_left_after_a_good_end",
        ],
    ),
    (
        "library watch",
        &[
            "privileges::a_library_that_appears_later_is_observed",
            "discovery::a_program_that_lives_for_milliseconds_is_caught_or_counted",
            "discovery::a_library_that_is_rewritten_in_place_is_read_anew",
        ],
    ),
    ("memory reading", &["resident::a_write_from_an_untouched_mapping_is_read_whole"]),
    (
        "confinement",
        &[
            "daemon::capture_and_send_keep_only_what_they_need",
            "daemon::inspect_can_open_neither_file_nor_socket",
        ],
    ),
    ("type information", &["badinput::without_btf_it_works_or_is_named"]),
    (
        "OpenSSL",
        &[
            "tls::curl_and_s_client_are_inspected_to_their_last_byte",
            "tls::early_data_is_inspected",
            "ktls::what_openssl_sends_from_a_file_is_read",
            "clients::openssl_1_1",
            "clients::openssl_3_5",
            "clients::openssl_3_5_write_ex2",
            "clients::python_pyopenssl",
            "requests::nginx",
            "requests::nginx_by_http2",
            "requests::frames_that_are_read_in_parts",
            "requests::python",
        ],
    ),
    (
        "GnuTLS",
        &[
            "libraries::sends_of_every_size_are_inspected_to_their_last_byte",
            "libraries::sends_with_a_range_are_inspected_to_their_last_byte",
            "libraries::what_a_corked_session_keeps_is_inspected_once",
            "clients::gnutls_cli",
            "requests::gnutls",
        ],
    ),
    (
        "NSS",
        &[
            "libraries::what_nss_sends_is_inspected_to_its_last_byte",
            "libraries::what_an_unknown_nss_sends_is_read_where_it_is_handed_to_nspr",
            "clients::tstclnt",
            "firefox::a_page_that_is_opened_is_told",
        ],
    ),
    (
        "TLS in programs",
        &[
            "go::writes_of_every_size_are_inspected_to_their_last_byte",
            "go::block_ciphers_of_tls_1_2_are_inspected_to_their_last_byte",
            "linked::with_its_symbols_it_is_read",
            "linked::with_a_debug_file_it_is_read",
            "linked::with_a_debug_file_of_its_container_it_is_read",
            "clients::curl_with_boringssl",
            "linked::aws_lc_is_read",
            "linked::libressl_is_read",
            "linked::without_symbols_it_is_a_blind_spot_with_a_name",
            "linked::java_is_a_blind_spot_with_a_name",
        ],
    ),
];

/// The tests of a row.
pub(super) fn tests(capability: &str) -> &'static [&'static str] {
    TESTS.iter().find(|(name, _)| *name == capability).map_or(&[], |(_, tests)| tests)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn every_named_test_exists() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tests");
        for name in super::TESTS.iter().flat_map(|(_, tests)| *tests) {
            let (binary, test) = name.split_once("::").unwrap();
            let text = std::fs::read_to_string(folder.join(binary).with_extension("rs")).unwrap();
            assert!(text.contains(&format!("\n#[test]\nfn {test}() {{\n")), "{name} is gone");
        }
    }
}

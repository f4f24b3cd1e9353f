//! Whatever the code: no panic, and a site inside the function.

use proptest::prelude::*;

use super::*;

/// Bytes that decode to instructions more often than chance, and any others.
fn code() -> impl Strategy<Value = Vec<u8>> {
    let instruction = prop_oneof![
        Just(vec![0xf3, 0x0f, 0x1e, 0xfa]),
        Just(vec![0x48, 0x83, 0xec, 0x08]),
        Just(vec![0x48, 0x63, 0xd2]),
        Just(vec![0x48, 0x01, 0xf8]),
        Just(vec![0x02, 0x07]),
        (0x50u8..=0x57).prop_map(|push| vec![push]),
        any::<u8>().prop_map(|back| vec![0xeb, back]),
        any::<u8>().prop_map(|back| vec![0x74, back]),
        any::<[u8; 4]>().prop_map(|to| [&[0xe8][..], &to].concat()),
        any::<[u8; 4]>().prop_map(|at| [&[0x48, 0x8b, 0x87][..], &at].concat()),
        any::<[u8; 4]>().prop_map(|by| [&[0x48, 0x05][..], &by].concat()),
        proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(instruction, 0..24).prop_map(|code| code.concat())
}

proptest! {
    #[test]
    fn a_site_lies_within_its_function(
        code in code(),
        address in prop_oneof![Just(0x4000), any::<u64>(), (u64::MAX - 64)..=u64::MAX],
    ) {
        let function = |machine| FunctionCode { machine, file_offset: 0, address, code: code.clone(), calls: Vec::new(), tail: None };
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let site = probe_site(&function(machine), 4);
            prop_assert!(site.offset == 0 || site.offset < code.len() as u64, "{site:?}");
        }
        let function = function(Machine::X86_64);
        let _ = (random_place(&function), returned_role(&function));
        let _ = (entity_word(&function), cork_word(&function));
    }
}

use super::*;
use crate::sbom::package::tests::package;

#[test]
fn revisions_are_kept_as_ranges_and_taken_out_again() {
    let mut table = Table(BTreeMap::new());
    for number in [1, 2, 3, 5, 4] {
        table.add(number, Kind::Deb, package("a", "1"));
    }
    table.add(5, Kind::Deb, package("b", "1"));
    table.add(5, Kind::Deb, package("b", "1"));
    let ranges = |table: &Table, name: &str| {
        let row = table.0.iter().find(|((n, _, _), _)| n == name);
        row.map(|(_, versions)| versions.values().flatten().copied().collect::<Vec<_>>())
    };
    assert_eq!(ranges(&table, "a"), Some(vec![(1, 5)]));
    table.remove(3);
    table.remove(1);
    table.remove(9);
    assert_eq!(ranges(&table, "a"), Some(vec![(2, 2), (4, 5)]));
    table.remove(5);
    let list = table.into_list();
    assert_eq!(list.len(), 1, "b is gone: {list:?}");
}

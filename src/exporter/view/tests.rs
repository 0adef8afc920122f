use super::super::{Array, ByteArray, ByteOrder, Bytes, Code, MAX_NDIM, TypeCode};
use super::*;

const ROUNDS: usize = if cfg!(miri) { 20 } else { 2_000 };

fn view_of(len: usize) -> (ByteArray, View) {
    let array = ByteArray::new(vec![0; len]);
    let view = View::new(array.export());
    (array, view)
}

fn resize(array: &ByteArray, len: usize) -> Result<(), Exported> {
    array.operate(|op| op.resize().map(|bytes| bytes.resize(len, 0)))
}

#[test]
fn the_exporter_is_free_when_the_last_view_of_a_managed_buffer_is_gone() {
    let (array, view) = view_of(8);
    let slice = view.derive(view.layout().unwrap().slice(2, 3, 2)).unwrap();
    let copy = slice.derive(slice.layout().unwrap().clone()).unwrap();
    assert_eq!(array.exports(), 1);
    view.release().unwrap();
    slice.release().unwrap();
    slice.release().unwrap();
    assert_eq!(resize(&array, 9), Err(Exported(1)));
    drop(copy);
    assert_eq!(resize(&array, 9), Ok(()));
}

#[test]
fn a_released_view_answers_nothing() {
    let (array, view) = view_of(8);
    view.release().unwrap();
    assert!(view.is_released());
    assert_eq!(view.layout().err(), Some(Released));
    assert_eq!(view.read(0, &mut [0]), Err(Released));
    assert_eq!(view.write(0, &[0]), Err(Released));
    assert_eq!(view.address(), Err(Released));
    assert!(view.provider().is_err());
    assert!(view.export().is_err());
    assert!(view.derive(Layout::bytes(8, false)).is_err());
    assert_eq!((view.exports(), array.exports()), (0, 0));
}

#[test]
fn a_view_with_exports_refuses_to_be_released() {
    let (array, view) = view_of(8);
    let inner = View::new(view.export().unwrap());
    assert!(inner.provider().unwrap().same(&Provider::View(view.clone())));
    assert_eq!(view.release(), Err(Exported(1)));
    assert!(!view.is_released());
    inner.write(7, &[7]).unwrap();
    assert_eq!(array.operate(|op| op.get(7)), Some(7));
    inner.release().unwrap();
    view.release().unwrap();
    assert_eq!(array.exports(), 0);
}

#[test]
fn all_views_look_at_the_same_bytes() {
    let (array, view) = view_of(8);
    let slice = view.derive(view.layout().unwrap().slice(7, 4, -2)).unwrap();
    let offset = slice.layout().unwrap().item_offset(&[1]).unwrap();
    slice.write(offset, &[9]).unwrap();
    assert_eq!(array.operate(|op| op.get(5)), Some(9));
    assert_eq!(slice.address(), view.address());
    array.operate(|op| op.set(7, 3));
    let mut out = [0; 3];
    view.read(5, &mut out).unwrap();
    assert_eq!(out, [9, 0, 3]);
}

#[test]
#[should_panic(expected = "read-only")]
fn writing_through_a_read_only_view_panics() {
    let (_array, view) = view_of(8);
    let readonly = Layout { readonly: true, ..view.layout().unwrap().clone() };
    let _ = view.derive(readonly).unwrap().write(0, &[0]);
}

#[test]
fn a_panic_in_an_access_leaves_the_view_usable() {
    let view = View::new(Bytes::new(b"abc").export());
    let other = view.clone();
    std::thread::spawn(move || other.read(2, &mut [0; 2])).join().unwrap_err();
    view.release().unwrap();
}

#[test]
fn racing_releases_free_the_exporter_once() {
    for _ in 0..ROUNDS {
        let (array, view) = view_of(4);
        let slice = view.derive(view.layout().unwrap().slice(1, 2, 1)).unwrap();
        std::thread::scope(|scope| {
            for view in [&view, &view, &slice] {
                let array = &array;
                scope.spawn(move || {
                    let copy = view.derive(Layout::bytes(4, false));
                    view.release().unwrap();
                    assert!(view.is_released());
                    drop(copy);
                    let _ = resize(array, 5);
                });
            }
        });
        assert_eq!(resize(&array, 6), Ok(()));
    }
}

#[test]
fn an_access_never_reaches_memory_that_a_racing_release_let_go() {
    for _ in 0..ROUNDS {
        let (array, view) = view_of(64);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20 {
                    let _ = view.write(0, &[1; 64]);
                    let _ = view.read(32, &mut [0; 32]);
                }
            });
            scope.spawn(|| {
                for _ in 0..20 {
                    let Ok(export) = view.export() else { return };
                    export.write(1, &[2; 3]);
                }
            });
            scope.spawn(|| {
                while view.release().is_err() {
                    std::thread::yield_now();
                }
                // Nothing is in flight any more, so this cannot be refused.
                array.operate(|op| op.resize().unwrap().shrink_to(0));
                array.operate(|op| *op.resize().unwrap() = vec![7; 4]);
            });
        });
        let mut out = Vec::new();
        array.operate(|op| op.copy_to(&mut out));
        assert_eq!(out, [7; 4]);
    }
}

#[test]
fn a_cast_shares_the_managed_buffer_and_a_refused_one_acquires_nothing() {
    let (array, view) = view_of(24);
    let table = view.cast(Format::parse("h").unwrap(), Some(&[3, 4])).unwrap();
    let refused = table.cast(Format::parse("i").unwrap(), None);
    assert_eq!(refused.err(), Some(ViewError::Cast(CastError::BetweenFormats)));
    assert_eq!(array.exports(), 1);
    view.release().unwrap();
    assert_eq!(view.cast(Format::BYTES, None).err(), Some(ViewError::Released(Released)));
    let back = table.cast(Format::BYTES, None).unwrap();
    assert_eq!(back.layout(), Ok(&Layout::bytes(24, false)));
    table.release().unwrap();
    assert_eq!(resize(&array, 9), Err(Exported(1)));
    back.release().unwrap();
    assert_eq!(resize(&array, 9), Ok(()));
}

#[test]
fn items_are_read_and_written_by_index_in_any_number_of_dimensions() {
    let (array, view) = view_of(48);
    let mut shape = vec![1; MAX_NDIM - 3];
    shape.extend([2, 3, 4]);
    let cube = view.cast(Format::parse("H").unwrap(), Some(&shape)).unwrap();
    for place in 0..24_u16 {
        let mut index = vec![0; MAX_NDIM - 3];
        index.extend([place / 12, place / 4 % 3, place % 4].map(|number| number as isize));
        let from_the_end: Vec<_> = index.iter().zip(&shape).map(|(index, dim)| index - dim).collect();
        cube.write_item(&from_the_end, &(100 + place).to_ne_bytes()).unwrap();
        let mut item = [0; 2];
        cube.read_item(&index, &mut item).unwrap();
        assert_eq!(u16::from_ne_bytes(item), 100 + place);
    }
    let expected: Vec<u8> = (100..124_u16).flat_map(u16::to_ne_bytes).collect();
    assert!(array.operate(|op| op.equals(&expected)));
}

#[test]
fn an_item_that_is_not_there_or_may_not_be_written_is_refused() {
    let (array, view) = view_of(8);
    let table = view.cast(Format::parse("h").unwrap(), Some(&[2, 2])).unwrap();
    let out = |dimension| Err(ViewError::Place(PlaceError::OutOfBounds { dimension }));
    assert_eq!(table.write_item(&[0, 2], &[1; 2]), out(1));
    assert_eq!(table.read_item(&[-3, 0], &mut [1; 2]), out(0));
    assert_eq!(table.write_item(&[0], &[1; 2]), Err(ViewError::Place(PlaceError::SubView)));
    assert_eq!(table.write_item(&[0; 3], &[1; 2]), Err(ViewError::Place(PlaceError::TooManyIndices)));
    assert_eq!(table.write_item(&[0, 0], &[1]), Err(ViewError::Length));
    assert_eq!(table.read_item(&[0, 0], &mut [0; 9]), Err(ViewError::Length));
    let readonly = table.derive(Layout { readonly: true, ..table.layout().unwrap().clone() }).unwrap();
    assert_eq!(readonly.write_item(&[0, 0], &[1; 2]), Err(ViewError::ReadOnly));
    table.release().unwrap();
    assert_eq!(table.write_item(&[0, 0], &[1; 2]), Err(ViewError::Released(Released)));
    assert_eq!(table.read_item(&[0, 0], &mut [1; 2]), Err(ViewError::Released(Released)));
    assert!(array.operate(|op| op.equals(&[0; 8])));
}

#[test]
fn bytes_come_out_in_the_order_that_is_asked_for() {
    let array = ByteArray::new((0..6).collect());
    let view = View::new(array.export());
    let table = view.cast(Format::BYTES, Some(&[2, 3])).unwrap();
    let orders = [ItemOrder::C, ItemOrder::Fortran, ItemOrder::Any];
    let bytes = |view: &View| orders.map(|order| view.to_bytes(order).unwrap());
    assert_eq!(bytes(&table), [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [0, 1, 2, 3, 4, 5]]);
    let reversed = table.derive(table.layout().unwrap().slice(1, 2, -1)).unwrap();
    assert_eq!(bytes(&reversed), [[3, 4, 5, 0, 1, 2], [3, 0, 4, 1, 5, 2], [3, 4, 5, 0, 1, 2]]);
    let fortran = Layout::bytes(6, false).recast_fortran(Format::BYTES, &[2, 3]);
    let fortran = table.derive(fortran).unwrap();
    assert_eq!(bytes(&fortran), [[0, 2, 4, 1, 3, 5], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]);
    let none = view.derive(view.layout().unwrap().slice(6, 0, isize::MAX)).unwrap();
    assert_eq!(bytes(&none), [[]; 3]);
    view.release().unwrap();
    assert_eq!(view.to_bytes(ItemOrder::C), Err(Released));
}

#[test]
fn items_of_every_code_read_the_same_in_both_byte_orders() {
    for code in Code::ALL {
        let format = Format::new(code);
        let Some(swapped) = format.in_order(ByteOrder::NATIVE.opposite()) else { continue };
        let size = format.itemsize();
        let (array, view) = view_of(2 * size);
        let of = |format| view.derive(Layout::bytes(2 * size, false).recast(format, &[2])).unwrap();
        let item: Vec<u8> = (1..=size as u8).collect();
        of(swapped).write_item(&[-1], &item).unwrap();
        let reversed: Vec<u8> =
            item.chunks(code.number()).flat_map(|number| number.iter().rev()).copied().collect();
        let mut out = vec![0; size];
        of(swapped).read_item(&[1], &mut out).unwrap();
        assert_eq!(out, item);
        of(format).read_item(&[1], &mut out).unwrap();
        assert_eq!(out, reversed);
        assert!(array.operate(|op| op.equals(&[vec![0; size], reversed].concat())));
    }
}

#[test]
fn a_byteswapped_array_reads_as_before_in_the_other_byte_order() {
    let items: Vec<u8> = [1_i32, -2].into_iter().flat_map(i32::to_ne_bytes).collect();
    let array = Array::new(TypeCode::named("i").unwrap(), &items);
    let view = View::new(array.export());
    let layout = view.layout().unwrap().clone();
    let swapped = layout.format.in_order(ByteOrder::NATIVE.opposite()).unwrap();
    array.operate(|op| op.byteswap());
    let mut item = [0; 4];
    view.read_item(&[1], &mut item).unwrap();
    assert_eq!(i32::from_ne_bytes(item), (-2_i32).swap_bytes());
    view.derive(Layout { format: swapped, ..layout }).unwrap().read_item(&[1], &mut item).unwrap();
    assert_eq!(i32::from_ne_bytes(item), -2);
}

#[test]
fn copies_race_with_a_release_and_are_whole_or_refused() {
    for _ in 0..ROUNDS {
        let (array, view) = view_of(64);
        let table = view.cast(Format::parse("q").unwrap(), Some(&[2, 4])).unwrap();
        view.release().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20 {
                    let Ok(bytes) = table.to_bytes(ItemOrder::Fortran) else { return };
                    assert_eq!(bytes, [0; 64]);
                }
            });
            scope.spawn(|| {
                for _ in 0..20 {
                    let Ok(()) = table.read_item(&[1, -1], &mut [1; 8]) else { return };
                }
            });
            scope.spawn(|| {
                table.release().unwrap();
                assert_eq!(resize(&array, 1), Ok(()));
            });
        });
        assert!(table.is_released());
    }
}

use super::super::Code;
use super::*;

fn format(text: &str) -> Format {
    Format::parse(text).unwrap()
}

fn contiguous(layout: &Layout) -> (bool, bool) {
    (layout.is_c_contiguous(), layout.is_f_contiguous())
}

#[test]
fn a_slice_counts_from_the_slice_before() {
    let layout = Layout::bytes(10, false).slice(7, 3, -3).slice(1, 2, 1);
    assert_eq!(layout.offsets().collect::<Vec<_>>(), [4, 1]);
    assert_eq!(layout.item_offset(&[1]), Some(1));
    assert_eq!(layout.item_offset(&[2]), None);
    assert_eq!(layout.item_offset(&[-1]), None);
    assert_eq!(layout.item_offset(&[]), None);
}

#[test]
fn one_dimension_is_contiguous_by_its_stride_even_without_items() {
    let bytes = Layout::bytes(8, false);
    assert_eq!(contiguous(&bytes), (true, true));
    assert_eq!(contiguous(&bytes.slice(0, 4, 2)), (false, false));
    assert_eq!(contiguous(&bytes.slice(0, 1, 2)), (true, true));
    assert_eq!(contiguous(&bytes.slice(0, 0, 2)), (false, false));
    assert_eq!(contiguous(&bytes.slice(0, 0, 1)), (true, true));
}

#[test]
fn more_dimensions_without_bytes_are_contiguous_both_ways() {
    let table = Layout::bytes(24, false).recast(format("h"), &[3, 4]);
    assert_eq!(contiguous(&table), (true, false));
    assert_eq!(contiguous(&table.slice(0, 0, 2)), (true, true));
    assert_eq!(contiguous(&table.slice(2, 1, 2)), (true, true));
    assert_eq!(contiguous(&table.slice(0, 2, 2)), (false, false));
    let row = table.recast(format("h"), &[1, 12]);
    assert_eq!(contiguous(&row), (true, true));
}

#[test]
fn no_dimensions_are_one_item_contiguous_both_ways() {
    let scalar = Layout::bytes(4, true).recast(format("i"), &[]);
    assert_eq!((scalar.ndim(), scalar.items(), scalar.nbytes()), (0, 1, 4));
    assert_eq!(contiguous(&scalar), (true, true));
    assert_eq!(scalar.item_offset(&[]), Some(0));
    assert_eq!(scalar.offsets().collect::<Vec<_>>(), [0]);
    assert!(scalar.readonly);
}

#[test]
fn offsets_come_in_c_order() {
    let layout = Layout::bytes(48, false).recast(format("H"), &[2, 3, 4]);
    assert_eq!(*layout.strides, [24, 8, 2]);
    let expected: Vec<_> = (0..24).map(|item| item * 2).collect();
    assert_eq!(layout.offsets().collect::<Vec<_>>(), expected);
    assert_eq!(layout.offsets().len(), 24);
    let backwards = layout.slice(1, 2, -1);
    let by_index: Vec<_> =
        (0..24).map(|i| backwards.item_offset(&[i / 12, i / 4 % 3, i % 4]).unwrap()).collect();
    assert_eq!(backwards.offsets().collect::<Vec<_>>(), by_index);
}

#[test]
fn offsets_in_fortran_order_are_those_of_the_reversed_indices() {
    let layout = Layout::bytes(48, false).recast(format("H"), &[2, 3, 4]).slice(1, 2, -1);
    let by_index: Vec<_> = (0..24).map(|i| layout.item_offset(&[i % 2, i / 2 % 3, i / 6]).unwrap()).collect();
    assert_eq!(layout.offsets_in(ItemOrder::Fortran).collect::<Vec<_>>(), by_index);
    assert!(layout.offsets_in(ItemOrder::C).eq(layout.offsets()));
    assert!(layout.offsets_in(ItemOrder::Any).eq(layout.offsets()));
}

#[test]
fn a_fortran_layout_is_contiguous_the_other_way() {
    let layout = Layout::bytes(48, false).recast_fortran(format("H"), &[2, 3, 4]);
    assert_eq!(*layout.strides, [2, 4, 12]);
    assert_eq!(contiguous(&layout), (false, true));
    assert!(layout.offsets_in(ItemOrder::Any).eq((0..24).map(|item| 2 * item)));
    assert!(layout.offsets_in(ItemOrder::Fortran).eq((0..24).map(|item| 2 * item)));
    assert!(!layout.offsets().eq((0..24).map(|item| 2 * item)));
    assert_eq!(contiguous(&layout.slice(0, 1, 1)), (false, false));
    assert_eq!(contiguous(&layout.recast_fortran(format("H"), &[1, 24])), (true, true));
}

#[test]
fn a_cast_leads_there_and_back() {
    let bytes = Layout::bytes(24, true);
    for (text, shape) in
        [("H", &[2, 3, 2][..]), ("@q", &[3]), ("c", &[4, 6]), ("d", &[1, 1, 3, 1]), ("B", &[24])]
    {
        let cast = bytes.cast(format(text), Some(shape)).unwrap();
        assert_eq!((&*cast.shape, cast.format, cast.readonly), (shape, format(text), true));
        assert!(cast.is_c_contiguous());
        assert_eq!(cast.cast(Format::BYTES, None), Ok(bytes.clone()));
        assert_eq!(cast.cast(Format::BYTES, Some(&[24])), Ok(bytes.clone()));
    }
    let scalar = Layout::bytes(8, false).cast(format("d"), Some(&[])).unwrap();
    assert_eq!((scalar.ndim(), scalar.items()), (0, 1));
    assert_eq!(scalar.cast(format("b"), None).unwrap().items(), 8);
    let empty = Layout::bytes(0, false);
    assert_eq!(empty.cast(format("d"), None).unwrap().items(), 0);
}

#[test]
fn a_cast_is_refused_for_the_reason_that_cpython_finds_first() {
    let bytes = Layout::bytes(24, false);
    let table = bytes.recast(format("h"), &[3, 4]);
    let half = bytes.slice(0, 12, 2);
    let wide = Layout { format: Format::new(Code::Wide), ..bytes.recast(format("i"), &[6]) };
    let error =
        |layout: &Layout, text, shape: Option<&[isize]>| layout.cast(format(text), shape).unwrap_err();
    assert_eq!(error(&half, "i", Some(&[])), CastError::NotContiguous);
    assert_eq!(error(&bytes.slice(0, 0, 1), "i", Some(&[0])), CastError::NoItems);
    assert_eq!(error(&table.slice(0, 0, 1), "B", None), CastError::NoItems);
    assert_eq!(error(&table, "B", Some(&[1; 65])), CastError::TooManyDimensions);
    assert_eq!(error(&table, "i", Some(&[2, 3])), CastError::BetweenShapes);
    assert_eq!(error(&table, "i", Some(&[])), CastError::BetweenShapes);
    assert_eq!(bytes.cast(Format::new(Code::Wide), None), Err(CastError::Format));
    assert_eq!(error(&table, "h", None), CastError::BetweenFormats);
    assert_eq!(error(&wide, "i", None), CastError::BetweenFormats);
    assert_eq!(wide.cast(format("b"), None).unwrap().items(), 24);
    assert_eq!(error(&Layout::bytes(9, false), "q", Some(&[0])), CastError::PartOfAnItem);
    assert_eq!(error(&bytes, "q", Some(&[3, 0])), CastError::NotAShape);
    assert_eq!(error(&bytes, "q", Some(&[-3, -1])), CastError::NotAShape);
    assert_eq!(error(&bytes, "q", Some(&[isize::MAX / 8 + 1])), CastError::NotAShape);
    assert_eq!(error(&bytes, "q", Some(&[2])), CastError::OtherLength);
    assert_eq!(error(&bytes, "q", Some(&[])), CastError::OtherLength);
}

#[test]
fn there_are_as_many_dimensions_as_in_cpython() {
    let mut shape = [1; MAX_NDIM];
    shape[5] = 2;
    shape[63] = 3;
    let layout = Layout::bytes(12, false).cast(format("H"), Some(&shape)).unwrap();
    assert_eq!((layout.ndim(), layout.items(), layout.is_c_contiguous()), (64, 6, true));
    assert_eq!(layout.offsets().collect::<Vec<_>>(), [0, 2, 4, 6, 8, 10]);
    let mut index = [0; MAX_NDIM];
    index[5] = 1;
    index[63] = -1;
    assert_eq!(layout.place(&index), Ok(10));
    assert_eq!(layout.cast(Format::BYTES, None), Ok(Layout::bytes(12, false)));
    assert_eq!(layout.slice(0, 0, 1).offsets().next(), None);
}

#[test]
fn an_index_has_a_number_for_each_dimension_and_may_count_from_the_end() {
    let layout = Layout::bytes(24, false).recast(format("h"), &[3, 4]).slice(2, 3, -1);
    for i in 0..3 {
        for j in 0..4 {
            let expected = layout.item_offset(&[i, j]);
            for index in [[i, j], [i - 3, j], [i, j - 4], [i - 3, j - 4]] {
                assert_eq!(layout.place(&index).ok(), expected);
            }
        }
    }
    let out = |dimension| Err(PlaceError::OutOfBounds { dimension });
    assert_eq!(layout.place(&[3, 0]), out(0));
    assert_eq!(layout.place(&[-4, 9]), out(0));
    assert_eq!(layout.place(&[0, 4]), out(1));
    assert_eq!(layout.place(&[0, isize::MIN]), out(1));
    assert_eq!(layout.place(&[9]), Err(PlaceError::SubView));
    assert_eq!(layout.place(&[9, 9, 9]), Err(PlaceError::TooManyIndices));
    assert_eq!(layout.place(&[0, 4]).unwrap_err().to_string(), "the index is out of bounds on dimension 2");
    assert_eq!(Layout::bytes(4, false).recast(format("i"), &[]).place(&[]), Ok(0));
}

#[test]
fn an_extreme_step_wraps() {
    let layout = Layout::bytes(16, false).recast(format("q"), &[2]);
    let layout = layout.slice(0, 1, isize::MAX);
    assert_eq!(layout.offsets().collect::<Vec<_>>(), [0]);
    assert_eq!(layout.strides[0], isize::MAX.wrapping_mul(8));
}

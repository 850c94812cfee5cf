package datasets

// openImagePreferencesFormat reads data-is-better-together/open-image-preferences-v1-binarized (data/*.parquet): a pair a
// row, pictures as structs {bytes, path}:
//
//	prompt, chosen, rejected, chosen_model, rejected_model, evolution, category, sub_category
//
// Any parquet file with prompt, chosen and rejected is read. chosen is the preferred picture, so pairs are swapped by a
// hash of their content unless Options.KeepOrder.
func openImagePreferencesFormat() *format {
	return &format{
		FormatInfo: FormatInfo{
			Name: "open-image-preferences", About: "open-image-preferences, pairs with pictures inside",
			Source: "data-is-better-together/open-image-preferences-v1-binarized data/*.parquet", Kind: KindPair,
		},
		ext: []string{".parquet"}, keys: []string{"prompt", "chosen", "rejected"},
		column: []string{"prompt", "chosen", "rejected", "chosen_model", "rejected_model", "evolution", "category", "sub_category"},
		table:  openPreferencesRow,
		wants:  func(t *table) error { return t.needPictures("chosen", "rejected", "prompt") },
	}
}

func openPreferencesRow(t *table, in *input) (Record, error) {
	prompt, err := t.text("prompt")
	r := newRecord(KindPair, prompt)
	if err != nil {
		return r, err
	}
	if err := checkPrompt("prompt", prompt); err != nil {
		return r, err
	}
	for _, column := range []string{"chosen", "rejected"} {
		im, err := t.picture(column, in)
		if err != nil {
			return r, err
		}
		if im.Model, err = t.text(column + "_model"); err != nil {
			return r, err
		}
		r.Images = append(r.Images, im)
	}
	if r.Category, err = t.text("category"); err != nil {
		return r, err
	}
	r.Attributes = map[string]string{}
	for _, column := range []string{"evolution", "sub_category"} {
		text, err := t.text(column)
		if err != nil {
			return r, err
		}
		if text != "" {
			r.Attributes[column] = text
		}
	}
	r.Label, r.Soft = 1, 1
	in.orient(&r)
	return r, nil
}

package datasets

// drawBenchFormat reads DrawBench as the sheet of its authors exports it: CSV, header Prompts,Category, 200 rows. HPSv2's copy
// (drawbench.json) has prompts only and is a prompt list.
func drawBenchFormat() *format {
	return &format{
		FormatInfo: FormatInfo{
			Name: "drawbench", About: "DrawBench", Source: "DrawBench sheet, exported as CSV", Kind: KindPrompt,
			Known: []Known{{"all prompts", Counts{Records: 200}}},
		},
		ext: []string{".csv"}, keys: []string{"Prompts", "Category"},
		open: func(path string, in *input) (source, error) {
			return asSource(openCSV(path, in, drawBenchRow, []string{"Prompts"}, []string{"Category"}))
		},
	}
}

func drawBenchRow(c *csvFile, cells []string) (Record, error) {
	r := newRecord(KindPrompt, c.get(cells, "Prompts"))
	r.Category = c.get(cells, "Category")
	return r, checkPrompt("Prompts", r.Prompt)
}

// asSource keeps a nil file from becoming a source that is not nil.
func asSource(c *csvFile, err error) (source, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

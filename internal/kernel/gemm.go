package kernel

// Epilogue is what happens to a matrix product before it is stored:
//
//	C = act(alpha·A·B + rowBias[i] + colBias[j]) + residual[i][j]
//
// The zero value changes nothing.
type Epilogue struct {
	RowBias  []float32 // one number a row of C, or nil
	ColBias  []float32 // one number a column of C, or nil
	Residual []float32 // laid out as C, or nil; may be C itself
	Alpha    float32   // factor of the product; 0 means 1
	Act      Act
}

// GemmArgs describes C = A·B (or C += A·B) with an epilogue: A is M×K, B is K×N, C
// has M rows of N numbers that lie LDC apart. Each of A and B is given either as a
// view or packed.
type GemmArgs struct {
	M, N, K    int
	A          Mat     // used when PA is nil
	PA         *Packed // from PackA(…, M, K)
	B          Mat     // used when PB is nil
	PB         *Packed // from PackB(…, K, N)
	C          []float32
	LDC        int  // at least N
	Accumulate bool // add to what C holds, before the epilogue (Alpha must then be 0 or 1)
	Ep         Epilogue
}

//go:build !amd64 || noasm

package kernel

func unaryAsm(unaryOp, []float32, []float32) bool                  { return false }
func binaryAsm(binaryOp, []float32, []float32, []float32) bool     { return false }
func scalarAsm(binaryOp, []float32, []float32, float32) bool       { return false }
func mulAddAsm(_, _, _, _ []float32) bool                          { return false }
func mulAddScalarAsm(_, _ []float32, _, _ float32) bool            { return false }
func sumSquares(x []float32, shift float64) (sum, squares float64) { return sumSquaresRef(x, shift) }
func axpbyAsm(_, _ []float32, _, _, _ float32) bool                { return false }
func gegluGradAsm(_, _, _, _, _ []float32) bool                    { return false }
func dots(a, b []float32) (sum, dot float64)                       { return dotsRef(a, b) }
func maxOf(x []float32) float32                                    { return maxOfRef(x) }
func widenF16Asm([]float32, []uint16) bool                         { return false }
func narrowF16Asm([]uint16, []float32) bool                        { return false }
func widenBF16Asm([]float32, []uint16) bool                        { return false }

package graph

// Generators for the tests of package graph_test, which may import executors.
var (
	RandomGraph      = randomGraph
	RandomImageGraph = randomImageGraph
)

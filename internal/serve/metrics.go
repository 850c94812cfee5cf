package serve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are those of one server: a registry of its own, so that several servers can live in one process.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec   // by route and status
	latency   *prometheus.HistogramVec // by route
	items     *prometheus.CounterVec   // pictures, by what became of them
	batch     prometheus.Histogram     // pictures scored together
	batchTime prometheus.Histogram
	queued    prometheus.Gauge // pictures that wait
	held      prometheus.Gauge // bytes of request bodies and pictures in memory
	judged    *prometheus.CounterVec
	sessions  prometheus.Gauge
}

func newMetrics() *metrics {
	const ns = "winnow"
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Name: "http_requests_total", Help: "Requests by route and status.",
		}, []string{"route", "code"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: ns, Name: "http_request_duration_seconds", Help: "Time from header to reply.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}, []string{"route"}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Name: "items_total", Help: "Pictures: scored, refused (by themselves), failed (the reward did), cancelled (the client left).",
		}, []string{"outcome"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Name: "batch_items", Help: "Pictures scored together.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256},
		}),
		batchTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Name: "batch_duration_seconds", Help: "Time to decode and score a batch.", Buckets: prometheus.DefBuckets,
		}),
		queued:   prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Name: "queue_items", Help: "Pictures that wait."}),
		held:     prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Name: "held_bytes", Help: "Bytes of requests in memory."}),
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Name: "sessions", Help: "WebSockets that are open."}),
		judged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Name: "judge_pairs_total", Help: "Pairs put to the judge: answered, abstained, failed.",
		}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.requests, m.latency, m.items, m.batch, m.batchTime, m.queued, m.held, m.judged, m.sessions,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// observe counts a request. route is the pattern that matched, never the path, which strangers choose.
func (m *metrics) observe(route string, code int, since time.Time) {
	if route == "" {
		route = "none"
	}
	m.requests.WithLabelValues(route, strconv.Itoa(code)).Inc()
	m.latency.WithLabelValues(route).Observe(time.Since(since).Seconds())
}

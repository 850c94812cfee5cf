package serve

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"winnow/internal/imageproc"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// Judge compares pictures; *vlmjudge.Judge does.
type Judge interface {
	Compare(ctx context.Context, prompt string, a, b image.Image) (vlmjudge.Comparison, error)
	Tournament(ctx context.Context, prompt string, images []image.Image, o vlmjudge.RankOptions) (vlmjudge.Tournament, error)
}

// Options says what is served and within which limits. Score and Info must be set; a zero means the default in brackets.
type Options struct {
	Score ScoreFunc
	Info  rewards.Info
	Parts []string // names of the single rewards, where Info is a sum
	// Quality brings a score to 0..1 for replies that name a grade; nil: the logistic function of score/Temperature.
	Quality func(score float64, parts []float64) float64
	Judge   Judge                // nil: comparisons go by the reward
	JudgeAs string               // what replies call it
	Rank    vlmjudge.RankOptions // which pairs the judge compares to rank

	Temperature float64 // of P(first is better) = σ((a−b)/temperature), in the reward's unit [1]
	BatchSize   int     // pictures scored together at most [32]
	BatchWait   time.Duration
	Queue       int              // pictures that may wait [1024]
	MaxItems    int              // of one request [256]
	MaxRequest  int64            // bytes [64 MiB]
	MaxMemory   int64            // bytes that all requests may hold [1 GiB]
	Limits      imageproc.Limits // of one picture [32 MiB, 16 Mi pixels, 16,384 a side]
	MaxJudged   int              // pictures that a judge ranks in one request [16]
	MaxPairs    int              // requests to the judge at once, others are sent away [64]
	MaxSessions int              // WebSockets at once, others are sent away [256]

	RequestTimeout time.Duration // from the header to the reply [2 min]
	ReadTimeout    time.Duration // of a request's body [1 min]
	IdleTimeout    time.Duration // of a WebSocket without messages [1 h]

	Keys      []string // without one, everybody is served
	AllowPath []string
	AllowURL  []string
	Log       *slog.Logger // warnings; nil: none
}

func fill[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

func (o Options) filled() Options {
	fill(&o.Temperature, 1)
	fill(&o.BatchSize, 32)
	fill(&o.Queue, 1024)
	fill(&o.MaxItems, 256)
	fill(&o.MaxRequest, 64<<20)
	fill(&o.MaxMemory, 1<<30)
	fill(&o.Limits.Bytes, 32<<20)
	fill(&o.Limits.Pixels, 16<<20)
	fill(&o.Limits.Side, 1<<14)
	fill(&o.MaxJudged, 16)
	fill(&o.MaxPairs, 64)
	fill(&o.MaxSessions, 256)
	fill(&o.RequestTimeout, 2*time.Minute)
	fill(&o.ReadTimeout, time.Minute)
	fill(&o.IdleTimeout, time.Hour)
	fill(&o.Log, slog.New(slog.DiscardHandler))
	return o
}

func (o *Options) check() error {
	switch {
	case o.Score == nil:
		return errors.New("serve: there is no reward")
	case !(o.Temperature > 0) || math.IsInf(o.Temperature, 0):
		return fmt.Errorf("a temperature of %v; want a number above 0, in the unit of the reward", o.Temperature)
	case o.BatchSize < 1, o.Queue < 1, o.MaxItems < 1, o.MaxRequest < 1, o.Limits.Pixels < 1, o.BatchWait < 0, o.RequestTimeout < 0:
		return errors.New("batch size, queue and limits must be above 0, and times not below")
	case o.MaxItems > o.Queue:
		return fmt.Errorf("requests of %d items can never enter a queue of %d; lower --max-items or raise --queue", o.MaxItems, o.Queue)
	case o.MaxMemory < 2*o.MaxRequest:
		return fmt.Errorf("a request of %d bytes needs twice that, and all together may hold %d; lower --max-request", o.MaxRequest, o.MaxMemory)
	}
	return nil
}

// Server answers requests. Make one by New, let Serve run it or use Handler, and Close it.
type Server struct {
	options  Options
	queue    *queue
	metrics  *metrics
	memory   memory
	keys     keys
	paths    paths
	urls     *urls
	judging  chan struct{}
	sessions *sessions
	handler  http.Handler
	draining atomic.Bool
	stop     context.CancelFunc
	closing  sync.Once
}

// New checks options and starts the worker.
func New(o Options) (*Server, error) {
	o = o.filled()
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Server{options: o, metrics: newMetrics(), keys: newKeys(o.Keys), judging: make(chan struct{}, o.MaxPairs), sessions: newSessions(o.MaxSessions)}
	s.memory.metrics = s.metrics
	s.memory.limit.Store(o.MaxMemory)
	var err error
	if s.urls, err = openURLs(o.AllowURL); err != nil {
		return nil, err
	}
	if s.paths, err = openPaths(o.AllowPath); err != nil {
		return nil, err
	}
	s.queue = newQueue(o.Score, &s.options, s.metrics)
	s.handler = s.routes()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.queue.run(ctx)
	return s, nil
}

// Handler is the whole server as a handler.
func (s *Server) Handler() http.Handler { return s.handler }

// Close ends the worker; what still waits fails.
func (s *Server) Close() error {
	var err error
	s.closing.Do(func() {
		s.draining.Store(true)
		s.sessions.drain()
		s.stop()
		s.queue.close()
		<-s.queue.ended
		s.urls.close()
		err = s.paths.close()
	})
	return err
}

// Serve answers on l until ctx ends, and then drains: no new connection is taken, requests that were begun are answered, for at
// most drain. It is an error when some were not, nil otherwise.
func (s *Server) Serve(ctx context.Context, l net.Listener, drain time.Duration) error {
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.options.Log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	s.draining.Store(true)
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	s.sessions.drain()
	err := errors.Join(server.Shutdown(patience), s.sessions.wait(patience))
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("requests were still running after %v and were cut off; allow more by --drain-timeout", drain)
		_ = server.Close()
	}
	if ended := <-ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return errors.Join(err, s.Close())
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	open := func(pattern string, h http.HandlerFunc) { mux.HandleFunc(pattern, h) }
	keyed := func(pattern string, h http.HandlerFunc) { mux.HandleFunc(pattern, s.keyed(h)) }

	open("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	open("GET /readyz", s.ready)
	keyed("GET /metrics", s.metrics.handler().ServeHTTP)
	keyed("GET /v1/models", s.models)
	keyed("POST /v1/score", s.work(s.serveScore, fail))
	keyed("POST /v1/compare", s.work(s.serveCompare, fail))
	keyed("POST /v1/rank", s.work(s.serveRank, fail))
	keyed("POST /v1/judge-reward", s.work(s.serveJudgeReward, fail))
	keyed("POST /v1/chat/completions", s.work(s.serveChat, fail))
	keyed("POST /openrlhf", s.work(s.serveOpenRLHF, fail))
	keyed("POST /flowgrpo", s.work(s.serveFlowGRPO, failPickle))
	keyed("POST /{$}", s.work(s.serveFlowGRPO, failPickle)) // where flow_grpo's clients post
	s.openEnv(keyed, "/openenv")
	// Browsers send pages' requests with the user's reach, to a server on localhost too.
	return s.counted(http.NewCrossOriginProtection().Handler(mux))
}

// keyed lets nobody in without a key.
func (s *Server) keyed(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.keys.allow(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="winnow"`)
			fail(w, &refusal{status: http.StatusUnauthorized, kind: "authentication_error", why: "this server wants one of its API keys, as bearer token, X-API-Key or password"})
			return
		}
		h(w, r)
	}
}

// call is a request that has been read.
type call struct {
	*http.Request
	body  []byte
	lease *lease
}

// work reads a request within the limits, and answers it by f or, where f has an error, by report.
func (s *Server) work(f func(w http.ResponseWriter, c *call) error, report func(http.ResponseWriter, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
			report(w, errDraining)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.options.RequestTimeout)
		defer cancel()
		c := &call{Request: r.WithContext(ctx), lease: &lease{memory: &s.memory}}
		defer c.lease.end()
		var err error
		if c.body, err = s.readBody(w, r, c.lease); err == nil {
			err = f(w, c)
		}
		if err != nil {
			if refuse(err).status >= http.StatusInternalServerError && !errors.Is(err, errDraining) {
				s.options.Log.Warn("request failed", "route", r.Pattern, "cause", err.Error())
			}
			report(w, err)
		}
	}
}

// recorder remembers the status of a reply.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// counted measures every request, and turns a panic into a reply.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, rec := time.Now(), &recorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			if p := recover(); p != nil {
				stack := make([]byte, 4<<10)
				s.options.Log.Error("panic", "route", r.Pattern, "cause", fmt.Sprint(p), "stack", string(stack[:runtime.Stack(stack, false)]))
				fail(rec, errors.New("the server has failed; its log says where"))
			}
			s.metrics.observe(r.Pattern, rec.status, start)
		}()
		h.ServeHTTP(rec, r)
	})
}

// ready says whether requests are taken, for those who balance load.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "draining"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready", "reward": s.options.Info.Name, "judge": s.options.JudgeAs})
}

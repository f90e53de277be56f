package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"racoon2/config"
	"racoon2/policy"
)

// The bounds of the metrics server.
const (
	maxScrapers      = 16   // connections at once; more are closed at once
	maxScrapeHeader  = 4096 // octets; net/http adds some
	scrapeHeaderTime = 5 * time.Second
	scrapeTime       = 10 * time.Second // for a request and its answer
	scrapeIdle       = 2 * time.Minute
	metricsPath      = "/metrics"
)

// metrics serves the metrics on the addresses that the configuration names.
type metrics struct {
	log  *slog.Logger
	text func(context.Context) ([]byte, error)

	making sync.Mutex // one text at a time

	mu      sync.Mutex
	servers map[netip.AddrPort]*metricsServer
}

// metricsServer is one address.
type metricsServer struct {
	listener net.Listener
	http     http.Server
	open     atomic.Int32 // connections
}

func newMetrics(log *slog.Logger, text func(context.Context) ([]byte, error)) *metrics {
	return &metrics{log: log, text: text, servers: make(map[netip.AddrPort]*metricsServer)}
}

// metricsAddresses are where a configuration wants metrics.
func metricsAddresses(i config.Interface, host []policy.Interface) (out []netip.AddrPort) {
	if i.Metrics == nil {
		return nil
	}
	for _, b := range binds(config.Interface{IKE: []config.Address{*i.Metrics}}, host) {
		out = append(out, b.addr)
	}
	return out
}

// prepare opens the addresses that are not open yet. take has them serve and
// closes the others; drop closes what was opened. With an error nothing is open.
func (m *metrics) prepare(wanted []netip.AddrPort) (take, drop func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	opened := make(map[netip.AddrPort]net.Listener)
	drop = func() {
		for _, l := range opened {
			l.Close()
		}
	}
	for _, addr := range wanted {
		if m.servers[addr] != nil || opened[addr] != nil {
			continue
		}
		network := "tcp6"
		if addr.Addr().Is4() {
			network = "tcp4"
		}
		l, err := net.Listen(network, addr.String())
		if noFamily(err) && addr.Addr().IsUnspecified() {
			continue
		}
		if err != nil {
			drop()
			return nil, nil, fmt.Errorf("metrics: %w", err)
		}
		opened[addr] = l
	}
	return func() { m.take(wanted, opened) }, drop, nil
}

func (m *metrics) take(wanted []netip.AddrPort, opened map[netip.AddrPort]net.Listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stays := make(map[netip.AddrPort]bool)
	for _, addr := range wanted {
		stays[addr] = true
	}
	for addr, s := range m.servers {
		if !stays[addr] {
			s.http.Close()
			delete(m.servers, addr)
			m.log.Info("metrics are not served any more", "address", addr)
		}
	}
	for addr, l := range opened {
		m.servers[addr] = m.serve(l)
		m.log.Info("metrics are served", "address", l.Addr(), "path", metricsPath)
	}
}

// serve answers on a listener until it is closed.
func (m *metrics) serve(l net.Listener) *metricsServer {
	s := &metricsServer{listener: l}
	s.http = http.Server{
		Handler: m, ReadHeaderTimeout: scrapeHeaderTime, ReadTimeout: scrapeTime, WriteTimeout: scrapeTime,
		IdleTimeout: scrapeIdle, MaxHeaderBytes: maxScrapeHeader, ConnState: s.count,
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer lastWords(m.log)
		if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("metrics are not served any more", "address", l.Addr(), "error", err)
		}
	}()
	return s
}

// count closes connections beyond the bound.
func (s *metricsServer) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.open.Add(1) > maxScrapers {
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// ServeHTTP implements http.Handler.
func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != metricsPath:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	m.making.Lock()
	text, err := m.text(ctx)
	m.making.Unlock()
	if err != nil {
		m.log.Warn("metrics cannot be collected", "error", err)
		http.Error(w, "the agent is busy, or ends", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(text) // a client that has gone needs nothing
	}
}

// close ends all servers.
func (m *metrics) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for addr, s := range m.servers {
		s.http.Close()
		delete(m.servers, addr)
	}
}

// startMetrics serves the metrics where the configuration wants them.
func (a *Agent) startMetrics(p *plan) error {
	a.metrics = newMetrics(a.main, a.exposed)
	a.undo = append(a.undo, a.metrics.close)
	take, _, err := a.metrics.prepare(metricsAddresses(p.cfg.Interface, a.host))
	if err != nil {
		return err
	}
	take()
	return nil
}

// moveMetrics follows changed addresses of this host.
func (a *Agent) moveMetrics() {
	take, _, err := a.metrics.prepare(metricsAddresses(a.plan.Load().cfg.Interface, a.host))
	if err != nil {
		a.main.Warn("metrics stay where they were", "error", err)
		return
	}
	take()
}

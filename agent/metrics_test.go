package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
)

// freeTCP is a port that nobody listens on.
func freeTCP(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// scrape is one answer of the metrics server.
func scrape(t *testing.T, method, url string) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(b)
}

var (
	helpLine   = regexp.MustCompile(`^# HELP ([a-z][a-z0-9_]*) (\S.*)$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-z][a-z0-9_]*) (gauge|counter)$`)
	seriesLine = regexp.MustCompile(`^([a-z][a-z0-9_]*)(?:\{(.*)\})? (\S+)$`)
	labelPart  = regexp.MustCompile(`^([a-z][a-z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)`)
)

// parseMetrics holds the text to the format, as promtool check metrics does: HELP
// and TYPE once, before the series of the family, which stand together; no series
// twice; counters end in _total. It returns the values by name and labels.
func parseMetrics(t *testing.T, text string) map[string]float64 {
	t.Helper()
	values := make(map[string]float64)
	helped, typed := make(map[string]bool), make(map[string]string)
	family := ""
	if !strings.HasSuffix(text, "\n") {
		t.Error("the last line has no end")
	}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if m := helpLine.FindStringSubmatch(line); m != nil {
			if helped[m[1]] || !strings.HasSuffix(m[2], ".") {
				t.Errorf("HELP twice, or no sentence: %s", line)
			}
			helped[m[1]], family = true, m[1]
			continue
		}
		if m := typeLine.FindStringSubmatch(line); m != nil {
			if m[1] != family || typed[m[1]] != "" {
				t.Errorf("TYPE is not behind its HELP, or there twice: %s", line)
			}
			if (m[2] == counter) != strings.HasSuffix(m[1], "_total") {
				t.Errorf("a %s is called %s", m[2], m[1])
			}
			typed[m[1]] = m[2]
			continue
		}
		m := seriesLine.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no line of the format: %q", line)
			continue
		}
		if m[1] != family || typed[m[1]] == "" {
			t.Errorf("a series outside of its family: %s", line)
		}
		names := make(map[string]bool)
		for rest := m[2]; rest != ""; {
			l := labelPart.FindStringSubmatch(rest)
			if l == nil || names[l[1]] {
				t.Errorf("labels %q of %s", rest, line)
				break
			}
			names[l[1]] = true
			rest = rest[len(l[0]):]
		}
		key := m[1]
		if m[2] != "" {
			key += "{" + m[2] + "}"
		}
		if _, twice := values[key]; twice {
			t.Errorf("twice: %s", key)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Errorf("value of %s: %v", line, err)
		}
		values[key] = v
	}
	return values
}

func TestExpositionFormat(t *testing.T) {
	var x exposition
	x.family("a_total", counter, "Two lines\nand a \\.", series{[]string{"remote", "a\"b\\c\nd\xff", "kind", "x"}, 1 << 40}, one(0.25))
	x.family("none", gauge, "Not there.")
	want := "# HELP a_total Two lines\\nand a \\\\.\n# TYPE a_total counter\n" +
		"a_total{remote=\"a\\\"b\\\\c\\nd\uFFFD\",kind=\"x\"} 1099511627776\na_total 0.25\n"
	if got := x.b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	parseMetrics(t, x.b.String())
	many := make(map[string]int)
	for i := range maxSeries + 10 {
		many[fmt.Sprint(i)] = 1
	}
	if got := by("remote", many); len(got) != maxSeries+1 || got[maxSeries].labels[1] != "other" || got[maxSeries].value != 10 {
		t.Errorf("%d series, the last %v", len(got), got[len(got)-1])
	}
}

// Counters go on when SAs are replaced, and never fall.
func TestCarried(t *testing.T) {
	var c carried
	id := func(spi kernel.SPI) kernel.SAID {
		return kernel.SAID{Dst: netip.MustParseAddr("192.0.2.1"), Proto: kernel.ESP, SPI: spi}
	}
	whose := map[kernel.SAID]carriedBy{id(1): {"tokyo", "in"}, id(2): {"tokyo", "in"}}
	for _, step := range []struct {
		sas  map[kernel.SAID]*Traffic
		want uint64
	}{
		{map[kernel.SAID]*Traffic{id(1): {Bytes: 100, Packets: 1, AuthErr: 2}}, 100},
		{map[kernel.SAID]*Traffic{id(1): {Bytes: 150, Packets: 2, AuthErr: 2}, id(9): {Bytes: 77}}, 150},
		{map[kernel.SAID]*Traffic{id(1): {Bytes: 160, Packets: 3, AuthErr: 3}, id(2): {Bytes: 5, Packets: 1}}, 165},
		{map[kernel.SAID]*Traffic{id(2): {Bytes: 7, Packets: 2}}, 167},
		{map[kernel.SAID]*Traffic{id(2): {Bytes: 3, Packets: 1}}, 170}, // another SA by that name
		{nil, 170},
	} {
		c.add(step.sas, whose)
		if got := c.totals[carriedBy{"tokyo", "in"}].Bytes; got != step.want {
			t.Errorf("%d octets, want %d", got, step.want)
		}
	}
	var x exposition
	c.write(&x, []string{"tokyo"})
	values := parseMetrics(t, x.b.String())
	if values[`racoon2_sa_octets_total{remote="tokyo",direction="in"}`] != 170 || values[`racoon2_sa_errors_total{remote="tokyo",kind="integrity"}`] != 3 {
		t.Errorf("%v", values)
	}
}

// The metrics of two agents that talk, and the server's manners.
func TestMetrics(t *testing.T) {
	a, b := newPair(t)
	port := freeTCP(t)
	a.edit("interface {", fmt.Sprintf("interface { metrics 127.0.0.1 port %d;", port))
	a.start()
	b.start()
	url := fmt.Sprintf("http://127.0.0.1:%d/metrics", port)
	status, header, text := scrape(t, http.MethodGet, url)
	if status != http.StatusOK || header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("status %d, %v", status, header)
	}
	before := parseMetrics(t, text)
	for key, want := range map[string]float64{
		`racoon2_remote_up{remote="peer"}`: 0, `racoon2_ike_sas{state="ESTABLISHED"}`: 0, `racoon2_policies{state="installed"}`: 2,
		`racoon2_kernel_backend_info{backend="fake"}`: 1, "racoon2_half_open_ike_sas": 0, `racoon2_child_sas{engine="kink"}`: 0,
	} {
		if got, ok := before[key]; !ok || got != want {
			t.Errorf("%s is %v, %v; want %v", key, got, ok, want)
		}
	}
	a.send(b)
	b.send(a)
	_, _, text = scrape(t, http.MethodGet, url)
	after := parseMetrics(t, text)
	for key, want := range map[string]float64{
		`racoon2_remote_up{remote="peer"}`: 1, `racoon2_ike_sas{state="ESTABLISHED"}`: 1, `racoon2_child_sas{engine="ikev2"}`: 1,
		`racoon2_remote_child_sas{remote="peer"}`: 1, `racoon2_events_total{area="ikev2",reason="ike_established"}`: 1,
		`racoon2_sa_packets_total{remote="peer",direction="in"}`: 1, `racoon2_sa_packets_total{remote="peer",direction="out"}`: 1,
	} {
		if got, ok := after[key]; !ok || got != want {
			t.Errorf("%s is %v, %v; want %v", key, got, ok, want)
		}
	}
	for key, v := range before {
		if strings.Contains(key, "_total") && after[key] < v {
			t.Errorf("%s fell from %v to %v", key, v, after[key])
		}
	}
	a.manners(url, text)

	// A reload moves it and closes it; one that cannot have its port changes nothing.
	other := freeTCP(t)
	a.edit(fmt.Sprintf("port %d;", port), fmt.Sprintf("port %d;", other))
	if err := a.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !refused(port) || refused(other) {
		t.Error("the reload did not move the metrics")
	}
	taken, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	a.edit(fmt.Sprintf("port %d;", other), fmt.Sprintf("port %d;", port))
	if err := a.agent.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "metrics: ") {
		t.Errorf("a reload to a port that is taken: %v", err)
	}
	if refused(other) {
		t.Error("the refused reload closed the metrics")
	}
	a.edit(fmt.Sprintf("metrics 127.0.0.1 port %d;", port), "")
	if err := a.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !refused(other) {
		t.Error("metrics are served though they are not configured")
	}
	if left := a.status(); len(left.IKESAs) != 1 {
		t.Errorf("%d IKE SAs after the reloads", len(left.IKESAs))
	}
}

func refused(port int) bool {
	c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		c.Close()
	}
	return err != nil
}

// manners are what the server does with what is no scrape.
func (h *host) manners(url, text string) {
	t := h.t
	t.Helper()
	if status, header, body := scrape(t, http.MethodHead, url); status != http.StatusOK || body != "" || header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d, %v, %q", status, header, body)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, "FETCH"} {
		if status, header, _ := scrape(t, method, url); status != http.StatusMethodNotAllowed || header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, %v", method, status, header)
		}
	}
	for _, path := range []string{"", "x", "/", "/../metrics/.."} {
		if status, _, body := scrape(t, http.MethodGet, strings.TrimSuffix(url, "/metrics")+"/"+path); status == http.StatusOK || strings.Contains(body, "racoon2_") {
			t.Errorf("path %q: %d, %q", path, status, body)
		}
	}
	address := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/metrics")
	conn, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The server answers 431 or cuts the line; the write may fail with it.
	_, _ = fmt.Fprintf(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	if answer, _ := io.ReadAll(conn); bytes.Contains(answer, []byte("racoon2_")) {
		t.Errorf("a header of 64 KiB is answered")
	}
	// Connections beyond the bound are closed at once; those within it go on.
	var conns []net.Conn
	for range 2 * maxScrapers {
		c, err := net.Dial("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	closed := make(map[net.Conn]bool)
	for until := time.Now().Add(time.Minute); len(closed) < maxScrapers && time.Now().Before(until); {
		for _, c := range conns {
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				closed[c] = true
			}
		}
	}
	if n := len(closed); n < maxScrapers || n > maxScrapers+2 {
		t.Errorf("%d of %d connections were closed, want %d", n, len(conns), maxScrapers)
	}
	if strings.Contains(text, "127.0.0.2") {
		t.Error("an address is among the metrics")
	}
}

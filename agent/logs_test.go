package agent

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// edit changes the configuration on disk.
func (h *host) edit(old, with string) {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join(h.dir, "racoon2.conf"))
	if err != nil {
		h.t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		h.t.Fatalf("no %q in the configuration", old)
	}
	h.write("racoon2.conf", strings.Replace(string(b), old, with, 1))
}

// read returns a file of the host, with the log written out.
func (h *host) read(name string) string {
	h.t.Helper()
	h.agent.log.Flush(time.Minute)
	b, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

// The words about the log take effect at the start and when they change; an
// invalid configuration changes nothing.
func TestLogWords(t *testing.T) {
	a, b := newPair(t)
	a.edit("interface {", "interface { log_format json;")
	a.edit("nat_traversal off;", `nat_traversal off; logmode debug; logfile "`+a.dir+`/peer.log";`)
	a.start()
	b.start()
	if first, _, _ := strings.Cut(a.read("log"), "\n"); !strings.HasPrefix(first, "{") || !strings.Contains(first, "IPsec key exchange") {
		t.Errorf("the log begins with %s", first)
	}
	a.send(b)
	own := a.read("peer.log")
	if !strings.Contains(own, `"remote":"peer"`) || !strings.Contains(own, `"msg":"sent"`) || !strings.Contains(own, `"tag":"INFO"`) {
		t.Errorf("the peer's log: %s", own)
	}
	if strings.Contains(own, "selectors") {
		t.Errorf("the peer's log has what is not about it: %s", own)
	}

	a.edit("log_format json;", "log_format json; ike nonsense;")
	a.agent.signalled(syscall.SIGHUP)
	a.agent.main.Info("after the invalid one")
	if !strings.Contains(a.read("log"), `"msg":"after the invalid one"`) {
		t.Error("an invalid configuration changed the log's format")
	}
	a.edit("log_format json; ike nonsense;", "log_format text;")
	a.edit("logmode debug;", "")
	a.edit("peer.log", "other.log")
	size := len(a.read("peer.log"))
	a.agent.signalled(syscall.SIGHUP)
	a.agent.main.Info("after the valid one")
	if !strings.Contains(a.read("log"), "[INFO]: agent: after the valid one\n") {
		t.Error("the format did not change")
	}
	if err := a.agent.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if _, _, err := (commands{a.agent}).FlushSA("peer"); err != nil {
		t.Error(err)
	}
	for len(a.status().IKESAs) > 0 {
		time.Sleep(time.Millisecond)
	}
	if other := a.read("other.log"); !strings.Contains(other, "[INFO]: ikev2: ") || strings.Contains(other, "DEBUG") {
		t.Errorf("the other file holds %s", other)
	}
	if got := len(a.read("peer.log")); got != size {
		t.Errorf("the file that is not configured any more grew by %d octets", got-size)
	}
}

func TestLogFileFindings(t *testing.T) {
	a, _ := newPair(t)
	for path, want := range map[string]string{
		"peer.log":               "error: logfile \"peer.log\" is not an absolute path",
		a.dir + "/none/peer.log": "warning: logfile " + a.dir + "/none/peer.log cannot be written: there is no folder",
	} {
		a.edit("nat_traversal off;", `nat_traversal off; logfile "`+path+`";`)
		found := Check(filepath.Join(a.dir, "racoon2.conf"), CheckOptions{})
		if len(found) == 0 || !strings.Contains(found[0].String(), want) || found[0].Pos.Line == 0 {
			t.Errorf("%s: %v", path, found)
		}
		a.edit(` logfile "`+path+`";`, "")
	}
}

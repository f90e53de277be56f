package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestKINKHostsFile: names of peers come from the hosts file of the system, wherever
// the agent was started, and never from one that lies there.
func TestKINKHostsFile(t *testing.T) {
	etc, here := t.TempDir(), t.TempDir()
	for dir, name := range map[string]string{etc: "peer.example.com", here: "evil.example.com"} {
		if err := os.WriteFile(filepath.Join(dir, hostsFile), []byte("192.0.2.77 "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(here)
	addr := netip.MustParseAddr("192.0.2.77")
	var o KINKOptions
	o.complete()
	if got := o.NamesOf(addr); slices.Contains(got, "evil.example.com.") {
		t.Errorf("the working folder's hosts file is read: %v", got)
	}
	o = KINKOptions{Etc: etc}
	o.complete()
	if got := o.NamesOf(addr); !slices.Equal(got, []string{"peer.example.com."}) {
		t.Errorf("names %v of the system's hosts file", got)
	}
}

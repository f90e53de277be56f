//go:build linux

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVM runs the tunnel tests in a virtual machine with a full kernel: the same
// binary, ESP done by the kernel (xfrm).
func TestVM(t *testing.T) {
	needRoot(t)
	if os.Getenv(envBinary) != "" {
		t.Skip("this is the virtual machine")
	}
	if testing.Short() {
		t.Skip("boots a virtual machine")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skipf("needs QEMU (qemu-system-x86): %v", err)
	}
	path, err := program()
	must(t, err)
	tests := filepath.Join(t.TempDir(), "integration.test")
	build := exec.Command("go", "test", "-c", "-o", tests, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	out, err := exec.Command("../../testdata/vm/run.sh", "-t", "300",
		"-f", tests+":/integration.test", "-f", path+":/racoon2",
		"-e", envBinary+"=/racoon2", "-e", envKernel+"=xfrm",
		"/integration.test", "-test.v", "-test.run", "^TestTunnel$|^TestExitTellsThePeer$").CombinedOutput()
	if err != nil {
		t.Fatalf("in the virtual machine: %v\n%s", err, out)
	}
	// A run that skipped everything would also end with PASS.
	if n := strings.Count(string(out), "--- PASS: TestTunnel/"); n != 8 {
		t.Errorf("%d of 8 tunnels were tried in the virtual machine:\n%s", n, out)
	}
}

package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"racoon2/config"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// poorKernel can do next to nothing.
var poorKernel = kernel.Capabilities{
	MaxReplay: 32, Encr: []transform.ENCR{transform.ENCR_AES_CBC}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128},
}

// TestCompileBroken holds what compiling says of what this host and its kernel
// lack, beyond what config knows.
func TestCompileBroken(t *testing.T) {
	names, err := filepath.Glob("testdata/compile/*.conf")
	if err != nil || len(names) < 3 {
		t.Fatalf("%d files: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			must(t, err)
			files := config.Options{FS: config.Files{"racoon2.conf": string(text)}, LookupEnv: func(string) (string, bool) { return "", false }}
			cfg, findings := config.Load("racoon2.conf", files)
			if findings.HasErrors() {
				t.Fatal(report(findings))
			}
			o := CompileOptions{Interfaces: testHost, ReadSecret: secretOf}
			kinkHost(&o)
			if strings.Contains(name, "kernel") {
				o.Kernel = &poorKernel
			}
			_, more := Compile(cfg, o)
			var b strings.Builder
			must(t, append(findings, more...).WithSources(files).WriteText(&b))
			golden(t, strings.TrimSuffix(name, ".conf")+".want", b.String())
		})
	}
}

package agent

import (
	"time"

	"racoon2/config"
	"racoon2/kernel"
)

// plan is a configuration that is fit to run.
type plan struct {
	cfg      *config.Config
	compiled *Compiled
	secrets  map[string][]byte // by path, as read with the configuration
	scripts  scripts
	findings config.Findings // that do not refuse it
}

// prepare reads and compiles the configuration. caps is nil while the kernel is
// not known; what depends on it is then left open.
func (a *Agent) prepare(caps *kernel.Capabilities, reqIDs map[string]uint32) (*plan, error) {
	cfg, findings := a.o.Load(a.o.Config)
	if findings.HasErrors() || cfg == nil {
		return nil, &ConfigError{a.o.Config, findings}
	}
	p := &plan{cfg: cfg, secrets: make(map[string][]byte), scripts: scriptsOf(cfg)}
	var more config.Findings
	p.compiled, more = Compile(cfg, CompileOptions{
		Interfaces: a.host, Kernel: caps, ReqIDs: reqIDs, Names: a.names.addresses, Now: time.Now(),
		KINK: KINKOptions{Etc: a.o.Etc},
		ReadSecret: func(path string) ([]byte, error) {
			key, err := ReadSecret(path)
			if err == nil {
				p.secrets[path] = key
			}
			return key, err
		},
	})
	p.findings = append(findings, more...)
	if more.HasErrors() {
		return nil, &ConfigError{a.o.Config, p.findings}
	}
	return p, nil
}

// report logs findings that do not refuse the configuration.
func (a *Agent) report(findings config.Findings) {
	for _, f := range findings {
		if f.Severity == config.Advice {
			a.main.Info("configuration: " + f.String())
		} else {
			a.main.Warn("configuration: " + f.String())
		}
	}
}

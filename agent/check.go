package agent

import (
	"errors"
	"fmt"
	"time"

	"racoon2/config"
	"racoon2/kernel"
)

// CheckOptions say what a configuration is held against.
type CheckOptions struct {
	config.Options
	// Kernel is the backend whose capabilities count, as in Options; "" is the
	// configuration's own, and no kernel is asked where that is auto: asking may
	// need privileges, and another host's configuration may be checked here.
	Kernel string
}

// Check judges a configuration as a start would: what config finds, and what
// compiling finds on this host, such as key files that are missing or open to
// others. A configuration with errors is not compiled; its files are looked at
// all the same, so that everything is said in one go.
func Check(path string, o CheckOptions) config.Findings {
	cfg, findings := config.Load(path, o.Options)
	if cfg == nil {
		return findings
	}
	host, err := interfaces()
	if err != nil {
		return append(findings, config.Finding{
			Code: "addresses", Severity: config.Warning, Pos: config.Pos{File: path},
			Text: "addresses of this host: " + err.Error(),
		})
	}
	co := CompileOptions{Interfaces: host, Now: time.Now()}
	if findings.HasErrors() {
		return append(findings, filesOf(cfg, co)...)
	}
	if co.Kernel, err = kernelOf(o.Kernel, cfg); err != nil {
		findings = append(findings, config.Finding{
			Code: "kernel", Severity: config.Warning, Pos: cfg.Interface.Pos, Text: "what the kernel can do is not known: " + err.Error(),
		})
	}
	compiled, more := Compile(cfg, co)
	if compiled != nil {
		for _, r := range compiled.IKEv2.Remotes {
			clear(r.SharedKey)
		}
	}
	return append(findings, more...)
}

// kernelOf returns what a backend can do; nil where none is named.
func kernelOf(name string, cfg *config.Config) (*kernel.Capabilities, error) {
	if name == "" {
		name = cfg.Interface.Kernel.String()
		if name == kernelAuto || name == "" {
			return nil, nil
		}
	}
	caps, err := capabilitiesOf(name)
	if err != nil {
		return nil, err
	}
	return &caps, nil
}

// filesOf looks at the files alone that a configuration with errors names.
func filesOf(cfg *config.Config, o CompileOptions) config.Findings {
	c := newCompiler(cfg, o)
	for _, r := range remotes(cfg) {
		if r.IKEv2 != nil {
			clear(c.readSharedKey(r.IKEv2))
		}
	}
	c.files()
	return c.findings
}

// errNoKernel says that a backend is not known on this system.
func errNoKernel(name string) error {
	return fmt.Errorf("kernel backend %q: %w", name, errors.ErrUnsupported)
}

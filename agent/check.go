package agent

import "racoon2/config"

// Check judges a configuration as a start would, without a kernel: what config
// finds, and what compiling finds on this host, such as key files that are
// missing or open to others.
func Check(path string, o config.Options) config.Findings {
	cfg, findings := config.Load(path, o)
	if cfg == nil || findings.HasErrors() {
		return findings
	}
	host, err := interfaces()
	if err != nil {
		return append(findings, config.Finding{
			Code: "addresses", Severity: config.Warning, Pos: config.Pos{File: path},
			Text: "addresses of this host: " + err.Error(),
		})
	}
	compiled, more := Compile(cfg, CompileOptions{Interfaces: host})
	if compiled != nil {
		for _, r := range compiled.IKEv2.Remotes {
			clear(r.SharedKey)
		}
	}
	return append(findings, more...)
}

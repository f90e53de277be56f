package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"racoon2/agent"
	"racoon2/config"
)

func (a *app) checkCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration, with its key files",
		Long: "Check a configuration without running it: its words, its references, what does\n" +
			"not fit together, and the key files that it names. The exit status is 0 when\n" +
			"there is nothing to complain about, 1 with warnings, and 2 with errors.",
		Example: "  racoon2 check -c ./racoon2.conf\n  racoon2 check --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			findings := agent.Check(a.config, config.Options{}).WithSources(config.Options{})
			if err := a.printFindings(findings, asJSON); err != nil {
				return failed(err)
			}
			switch {
			case findings.HasErrors():
				return &failure{status: statusUsage}
			case findings.Count(config.Warning) > 0:
				return &failure{status: statusFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) printFindings(findings config.Findings, asJSON bool) error {
	if asJSON {
		return findings.WriteJSON(a.out)
	}
	if err := findings.WriteText(a.out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.err, "configuration errors: %d, warnings: %d\n",
		findings.Count(config.Error), findings.Count(config.Warning))
	return err
}

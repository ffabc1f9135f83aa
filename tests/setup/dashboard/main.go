// Reads a dashboard from standard input as Grafana's own types have it, each panel and query by the types of its plugin:
// nothing may be unknown, missing or of another type. What is wrong goes to standard error.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func main() {
	// Those that the dashboard has. The package with all of them takes minutes to compile.
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	if err := check(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(input io.Reader) error {
	text, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	var types struct{ Panels []struct{ Type string } }
	if err := json.Unmarshal(text, &types); err != nil {
		return err
	}
	for _, panel := range types.Panels {
		// The options of a panel that is not known here would be read as anything.
		if _, known := cog.ConfigForPanelcfgVariant(panel.Type); !known && panel.Type != "row" {
			return fmt.Errorf("panels of the type %q: add them to tests/setup/dashboard/main.go", panel.Type)
		}
	}
	var read dashboard.Dashboard
	err = read.UnmarshalJSONStrict(text)
	var problems cog.BuildErrors
	// It gives an empty list where nothing is wrong.
	if errors.As(err, &problems) && len(problems) == 0 {
		return nil
	}
	return err
}

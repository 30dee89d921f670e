"""The program that draws the charts, in a process of its own: the drawing engine is as large as all the rest of a run.

Standard input: {"path": where modules are found, "charts": Vega-Lite specifications}. Standard output: their SVG, as a
list. It imports nothing of ftspec.
"""

import json
import sys


def main() -> None:
    asked = json.load(sys.stdin)
    sys.path[:] = asked["path"]
    import vl_convert

    json.dump([vl_convert.vegalite_to_svg(chart, allowed_base_urls=[]) for chart in asked["charts"]], sys.stdout)


if __name__ == "__main__":
    main()

# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from importlib.util import find_spec

from . import test_auto_delay
from . import test_autovacuum
from . import test_context
from . import test_delay_api
from . import test_delayable_graph
from . import test_delayables
from . import test_dependencies
from . import test_dependency_fields
from . import test_executor
from . import test_failure_messages
from . import test_graph_scale
from . import test_import_paths
from . import test_job
from . import test_job_moves
from . import test_job_perform
from . import test_job_row
from . import test_job_store
from . import test_job_values
from . import test_keys
from . import test_model
from . import test_no_delay
from . import test_pitfalls
from . import test_pitfalls_of_callers
from . import test_record_jobs
from . import test_related_actions
from . import test_routes
from . import test_runjob
from . import test_runjob_in_transaction
from . import test_runjob_requests
from . import test_runs
from . import test_runs_chained
from . import test_runs_deaths
from . import test_runs_leaks
from . import test_runs_reports
from . import test_runs_tries
from . import test_states
from . import test_third_party
from . import test_trap_jobs
from . import test_unheard
from . import test_readme

if find_spec("hypothesis"):
    from . import test_graph_interleavings
    from . import test_graph_properties
else:
    from . import test_without_hypothesis

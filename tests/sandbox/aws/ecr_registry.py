"""Amazon ECR: what is set for a registry as a whole.

moto keeps repository, lifecycle and registry policies. Here is what it lacks or knows too narrowly: pull through cache
rules, exclusions from pull times, registry policies over every action, and replication by more than one rule. Rules are
from the Amazon ECR API Reference (named API_*) and the Amazon ECR User Guide.
"""

import json
import re

from moto.ecr.models import ecr_backends
from moto.ecr.responses import ECRResponse

import operations
from operations import answer, parameters_of, refuse

# "Valid Range" of maxResults, and the page without it, in API_DescribePullThroughCacheRules and
# API_ListPullTimeUpdateExclusions.
LARGEST_PAGE = 1000
PAGE_IF_NOT_SAID = 100

# Patterns of API_CreatePullThroughCacheRule and API_RegisterPullTimeUpdateExclusion.
CACHE_PREFIX = re.compile(r"([a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*/?|ROOT)")
PRINCIPAL_ARN = re.compile(r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:(role|user)/[\w+=,.@-]+(/[\w+=,.@-]+)*")

# "Array Members" of rules in API_ReplicationConfiguration.
MOST_REPLICATION_RULES = 25


def create_pull_through_cache_rule(response):
    """API_CreatePullThroughCacheRule: one rule for each prefix."""
    wanted = parameters_of(response)
    prefix = wanted.get("ecrRepositoryPrefix") or ""
    if not 2 <= len(prefix) <= 30 or not CACHE_PREFIX.fullmatch(prefix):
        _refuse_parameter("ecrRepositoryPrefix", f"Member must satisfy regular expression pattern: {CACHE_PREFIX.pattern}")
    rules = _cache_rules_of(response)
    if prefix in rules:
        refuse(
            "PullThroughCacheRuleAlreadyExistsException",
            f"A pull through cache rule with the prefix '{prefix}' already exists",
        )
    rules[prefix] = {
        "ecrRepositoryPrefix": prefix,
        "upstreamRegistryUrl": wanted.get("upstreamRegistryUrl"),
        "registryId": response.current_account,
    }
    return answer(rules[prefix])


def describe_pull_through_cache_rules(response):
    """API_DescribePullThroughCacheRules: all of them by page, or those of the prefixes named."""
    wanted = parameters_of(response)
    rules = _cache_rules_of(response)
    prefixes = wanted.get("ecrRepositoryPrefixes")
    if prefixes:
        missing = [prefix for prefix in prefixes if prefix not in rules]
        if missing:
            refuse("PullThroughCacheRuleNotFoundException", f"There is no rule with the prefix '{missing[0]}'")
        return answer({"pullThroughCacheRules": [rules[prefix] for prefix in prefixes]})
    page, token = _page(wanted, sorted(rules))
    return answer({"pullThroughCacheRules": [rules[prefix] for prefix in page], "nextToken": token})


def register_pull_time_update_exclusion(response):
    """API_RegisterPullTimeUpdateExclusion: roles and users only, each once."""
    principal = _principal_of(response)
    excluded = _exclusions_of(response)
    if principal in excluded:
        refuse("ExclusionAlreadyExistsException", f"The exclusion for '{principal}' already exists")
    excluded.append(principal)
    return answer({"principalArn": principal})


def deregister_pull_time_update_exclusion(response):
    """API_DeregisterPullTimeUpdateExclusion."""
    principal = _principal_of(response)
    excluded = _exclusions_of(response)
    if principal not in excluded:
        refuse("ExclusionNotFoundException", f"There is no exclusion for '{principal}'")
    excluded.remove(principal)
    return answer({"principalArn": principal})


def list_pull_time_update_exclusions(response):
    """API_ListPullTimeUpdateExclusions."""
    page, token = _page(parameters_of(response), sorted(_exclusions_of(response)))
    return answer({"pullTimeUpdateExclusions": page, "nextToken": token})


def put_replication_configuration(response):
    """API_PutReplicationConfiguration: up to 25 rules, none of them to the registry itself."""
    configuration = parameters_of(response).get("replicationConfiguration") or {}
    rules = configuration.get("rules") or []
    if len(rules) > MOST_REPLICATION_RULES:
        _refuse_parameter("rules", f"Member must have length less than or equal to {MOST_REPLICATION_RULES}")
    here = {"region": response.region, "registryId": response.current_account}
    if any(here == destination for rule in rules for destination in rule.get("destinations") or []):
        _refuse_parameter("replicationConfiguration", "Replication destination cannot be the same as the source registry")
    _backend_of(response).replication_config = {"rules": rules}
    return answer({"replicationConfiguration": {"rules": rules}})


def put_registry_policy(response):
    """API_PutRegistryPolicy: any action of Amazon ECR ("Private registry permissions", registry policy scope V2)."""
    text = parameters_of(response).get("policyText") or ""
    try:
        json.loads(text)
    except ValueError:
        _refuse_parameter("PolicyText", "Invalid registry policy provided")
    _backend_of(response).registry_policy = text
    return answer({"registryId": response.current_account, "policyText": text})


def install():
    """Put these operations in place of moto's."""
    operations.install(
        ECRResponse,
        create_pull_through_cache_rule,
        describe_pull_through_cache_rules,
        register_pull_time_update_exclusion,
        deregister_pull_time_update_exclusion,
        list_pull_time_update_exclusions,
        put_replication_configuration,
        put_registry_policy,
    )


def _backend_of(response):
    return ecr_backends[response.current_account][response.region]


def _cache_rules_of(response):
    return _kept_by(_backend_of(response), "pull_through_cache_rules", dict)


def _exclusions_of(response):
    return _kept_by(_backend_of(response), "pull_time_update_exclusions", list)


def _kept_by(backend, name, empty):
    """What is kept with moto's own state of a registry, so that it goes with it."""
    if not hasattr(backend, name):
        setattr(backend, name, empty())
    return getattr(backend, name)


def _principal_of(response):
    principal = parameters_of(response).get("principalArn") or ""
    if len(principal) > 200 or not PRINCIPAL_ARN.fullmatch(principal):
        _refuse_parameter("principalArn", f"Member must satisfy regular expression pattern: {PRINCIPAL_ARN.pattern}")
    return principal


def _page(wanted, names):
    size = wanted.get("maxResults", PAGE_IF_NOT_SAID)
    if not isinstance(size, int) or not 1 <= size <= LARGEST_PAGE:
        _refuse_parameter("maxResults", f"Member must have value between 1 and {LARGEST_PAGE}")
    after = None
    if wanted.get("nextToken") is not None:
        try:
            after = operations.position_of(wanted["nextToken"])
        except ValueError:
            _refuse_parameter("nextToken", "Invalid token")
    return operations.page_of(names, size, after, lambda name: name)


def _refuse_parameter(name, constraint):
    refuse("InvalidParameterException", f"Invalid parameter at '{name}' failed to satisfy constraint: '{constraint}'")

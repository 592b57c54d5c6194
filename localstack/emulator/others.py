"""CloudFront, Auto Scaling and S3: the rest of the corrections."""

import re

from moto.autoscaling import models as asg
from moto.cloudfront import models as cf
from moto.cloudfront.exceptions import CloudFrontException
from moto.s3.exceptions import MalformedXML
from moto.s3.models import s3_backends
from moto.s3.responses import S3Response

from .ec2 import state_of
from .pace import begin, view

HOLDS_BACK = {"Launch", "Terminate", "HealthCheck", "ReplaceUnhealthy"}
S3_ROOTS = {
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketNotification": "NotificationConfiguration",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketReplication": "ReplicationConfiguration",
}
MOST_KEYS = 1000
# paths of a distribution that may be invalidated at one time
MOST_PATHS, MOST_WILDCARDS = 3000, 15
# no character outside ASCII, no blank, none that RFC 1738 calls unsafe
PATH = re.compile(r"/[!$-;=?-Z_a-z]*")


def elsewhere(call, environ):
    """The region of the bucket that a call names, where that is not the call's own. Its location may be asked for anywhere."""
    name = environ.get("PATH_INFO", "").strip("/").split("/")[0]
    if not name or call.region is None or call.action in ("CreateBucket", "GetBucketLocation"):
        return None
    for account in s3_backends.values():
        for backend in account.values():
            bucket = backend.buckets.get(name)
            if bucket is not None:
                return bucket.region_name if bucket.region_name != call.region else None
    return None


def patch_cloudfront(pace):
    """Invalidations and distributions take time, and a CallerReference counts once."""
    # AWS spells it "Completed"; moto's "COMPLETED" never matches a waiter
    cf.Invalidation.status = property(lambda self: view(self, "Completed"), lambda self, _: None)
    cf.Distribution.status = property(lambda self: view(self, "Deployed"), lambda self, _: None)
    cls = cf.CloudFrontBackend
    create, update, new = cls.create_invalidation, cls.update_distribution, cls.create_distribution

    def create_invalidation(self, dist_id, paths, caller_ref):
        if any(not PATH.fullmatch(path) or len(path) > 4000 for path in paths):
            raise CloudFrontException(
                "InvalidArgument", "Your request contains one or more invalid invalidation paths."
            )
        self.get_distribution(dist_id)
        for earlier in self.invalidations.get(dist_id, []):
            if earlier.caller_ref == caller_ref:
                if sorted(earlier.paths) == sorted(paths):
                    return earlier
                raise CloudFrontException(
                    "InvalidationBatchAlreadyExists",
                    "The caller reference was used before, for other paths.",
                )
        under_way = [p for i in self.invalidations.get(dist_id, []) if i.status == "InProgress" for p in i.paths]
        every = [*under_way, *paths]
        wild = sum(path.endswith("*") for path in every)
        if wild > MOST_WILDCARDS or len(every) - wild > MOST_PATHS:
            raise CloudFrontException(
                "TooManyInvalidationsInProgress", "Your request exceeds the limit of invalidation paths in progress."
            )
        invalidation = create(self, dist_id, paths, caller_ref)
        # AWS lists the newest first
        all_of_it = self.invalidations[dist_id]
        all_of_it.insert(0, all_of_it.pop())
        begin(invalidation, ("InProgress", pace["invalidation"]))
        return invalidation

    def update_distribution(self, *args, **kwargs):
        result = update(self, *args, **kwargs)
        begin(result[0], ("InProgress", pace["distribution"]))
        return result

    def create_distribution(self, *args, **kwargs):
        result = new(self, *args, **kwargs)
        begin(result[0], ("InProgress", pace["distribution"]))
        return result

    listed = cls.list_invalidations

    def list_invalidations(self, dist_id, *args, **kwargs):
        # moto lists none for a distribution that does not exist
        self.get_distribution(dist_id)
        return listed(self, dist_id, *args, **kwargs)

    cls.list_invalidations = list_invalidations
    cls.create_invalidation, cls.update_distribution = create_invalidation, update_distribution
    cls.create_distribution = create_distribution


def end_the_unhealthy(backend, group):
    """Ends the members that are marked, unless a process that this takes is suspended."""
    if {"Terminate", "ReplaceUnhealthy"} & set(group.__dict__.get("_suspended_processes", ())):
        return
    marked = [s.instance for s in group.instance_states if s.health_status == "Unhealthy"]
    for instance in marked:
        if state_of(instance) != "terminated":
            instance.terminate()
    if marked:
        backend.notify_terminate_instances([i.id for i in marked])


def patch_autoscaling():
    """Suspended processes hold back replacements; resuming them makes up for it. A stopped member is replaced."""
    group_cls, cls = asg.FakeAutoScalingGroup, asg.AutoScalingBackend
    replace, resume = group_cls.replace_autoscaling_group_instances, cls.resume_processes

    def replace_instances(self, count_needed, propagated_tags):
        # the constructor sets the capacity before it sets the list of suspended processes
        if HOLDS_BACK & set(self.__dict__.get("_suspended_processes", ())):
            return
        replace(self, count_needed, propagated_tags)

    def resume_processes(self, group_name, scaling_processes):
        resume(self, group_name, scaling_processes)
        # the mark stays when the instance runs again: what was held back happens now
        end_the_unhealthy(self, self.autoscaling_groups[group_name])
        self.set_desired_capacity(group_name, self.autoscaling_groups[group_name].desired_capacity)

    group_cls.replace_autoscaling_group_instances, cls.resume_processes = replace_instances, resume_processes
    from moto.ec2.models.instances import InstanceBackend

    stop = InstanceBackend.stop_instances

    def stop_instances(self, instance_ids):
        result = stop(self, instance_ids)
        groups = asg.autoscaling_backends[self.account_id][self.region_name]
        for group in groups.autoscaling_groups.values():
            if "HealthCheck" in group.__dict__.get("_suspended_processes", ()):
                continue
            for state in group.instance_states:
                if state.instance.id in instance_ids:
                    state.health_status = "Unhealthy"
            end_the_unhealthy(groups, group)
        return result

    InstanceBackend.stop_instances = stop_instances


def patch_s3():
    """Answers have the root elements of AWS, and a batch of deletions its limit."""
    cls = S3Response
    delete_keys, serialized = cls._bucket_response_delete_keys, cls.serialized

    def with_root(self, result):
        # moto calls the root "<operation>Response": readers stricter than boto3 refuse that
        status, headers, body = serialized(self, result)
        text = body.decode() if isinstance(body, bytes) else body
        for operation, root in S3_ROOTS.items():
            text = re.sub(rf"(</?){operation}Response\b", rf"\g<1>{root}", text)
        return status, headers, text

    def bucket_response_delete_keys(self, *args, **kwargs):
        body = self.body.encode() if isinstance(self.body, str) else self.body
        if body.count(b"<Object>") > MOST_KEYS:
            raise MalformedXML()
        return delete_keys(self, *args, **kwargs)

    cls.serialized = with_root
    cls._bucket_response_delete_keys = bucket_response_delete_keys


def patch(pace):
    """Applies all of it."""
    patch_cloudfront(pace)
    patch_autoscaling()
    patch_s3()
